import { readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { IoError } from "../../errors.ts";
import { writeFileDurably } from "../../fs/durable.ts";
import { isError, isMissing, reasonOf, toIoError } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { MetricFamily } from "./metric-registry.ts";
import type { MetricsSettings, PushSettings } from "./metrics-settings.ts";
import { PROMETHEUS_CONTENT_TYPE, prometheusText, samplesOfText } from "./prometheus-text.ts";
import type { ServiceMetrics } from "./service-metrics.ts";

const ANSWER_MS = 10_000;
const ATTEMPTS = 3;
const PAUSE_MS = 500;

/**
 * Tells the metrics of runs that end with their process: in a file that appears whole, which goes on from what is in it already, and by
 * a Pushgateway. What fails is a warning, and fails no run.
 */
export async function publishMetrics(
  metrics: ServiceMetrics,
  { textfile, push }: MetricsSettings,
  logger: Logger,
): Promise<void> {
  await metrics.measure();
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      logger.warn(what, { reason: reasonOf(error) });
    }
  };
  if (textfile !== undefined) {
    await attempt("the metrics were not written", () => writeTextfile(metrics, textfile));
  }
  if (push)
    await attempt("the metrics were not pushed", () => pushMetrics(metrics.registry.families(), push));
}

/** @throws IoError */
async function writeTextfile(metrics: ServiceMetrics, path: string): Promise<void> {
  try {
    const before = readFileSync(path, "utf8");
    metrics.carryOn(samplesOfText(before), statSync(path).mtimeMs);
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "read", path);
  }
  const text = prometheusText(metrics.registry);
  await writeFileDurably(path, text);
  metrics.hasTold(samplesOfText(text));
}

/**
 * Each policy's metrics are a group of their own: a run of one policy replaces nothing of the others.
 *
 * @throws IoError. It names the host alone.
 */
async function pushMetrics(families: readonly MetricFamily[], push: PushSettings): Promise<void> {
  const { url, job = "lancedb-backup", instance = hostname() } = push;
  const base = `${url.replace(/\/+$/, "")}/metrics/${groupPart("job", job)}/${groupPart("instance", instance)}`;
  const policies = new Set(families.flatMap(({ samples }) => samples.map(({ labels }) => labels["policy"])));
  for (const policy of policies) {
    const of = families.map((family) => ({
      ...family,
      samples: family.samples.filter(({ labels }) => labels["policy"] === policy),
    }));
    const address = policy === undefined ? base : `${base}/${groupPart("policy", policy)}`;
    await post(address, prometheusText({ families: () => of }), push.authorization);
  }
}

/** As Pushgateway reads the parts of its addresses. */
function groupPart(label: string, value: string): string {
  if (value !== "" && !value.includes("/")) return `${label}/${encodeURIComponent(value)}`;
  return `${label}@base64/${Buffer.from(value).toString("base64url") || "="}`;
}

async function post(url: string, body: string, authorization: string | undefined): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await postOnce(url, body, authorization);
    } catch (error) {
      if (attempt >= ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt));
    }
  }
}

async function postOnce(url: string, body: string, authorization: string | undefined): Promise<void> {
  const { host } = new URL(url);
  const headers = {
    "content-type": PROMETHEUS_CONTENT_TYPE,
    ...(authorization !== undefined && { authorization }),
  };
  let response: Response;
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    response = await fetch(url, { method: "POST", body, headers, redirect: "error", signal });
  } catch (error) {
    const cause = isError(error) && isError(error.cause) ? error.cause.message : "the request failed";
    throw new IoError(`${host} could not be reached: ${cause}.`);
  }
  const answer = await response.text();
  if (!response.ok)
    throw new IoError(`${host} answered with the status ${response.status}: ${answer.slice(0, 200)}`);
}
