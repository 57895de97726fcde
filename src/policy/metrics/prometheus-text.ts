import type { Labels, MetricFamily } from "./metric-registry.ts";

/** Of a page of metrics. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What has metrics: a registry. */
export interface MetricSource {
  families(): readonly MetricFamily[];
}

/**
 * The metrics in Prometheus' text format, version 0.0.4. Those without any sample are left out.
 *
 * @example
 * ```ts
 * const page = prometheusText(service.metrics);
 * ```
 */
export function prometheusText(registry: MetricSource): string {
  const lines = registry.families().flatMap(({ name, kind, help, samples }) => {
    if (samples.length === 0) return [];
    const head = [`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${kind}`];
    return [
      ...head,
      ...samples.map(({ labels, value }) => `${name}${labelText(labels)} ${numberText(value)}`),
    ];
  });
  return lines.map((line) => `${line}\n`).join("");
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(value.toWellFormed()).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escaped = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}

/** A sample of a text. */
export interface TextSample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

const PAIR = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gs;
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"(?:,|(?=\})))*)\})? (\S+)$/s;

/** The samples of a text that `prometheusText` has made. Lines that are none are passed over. */
export function samplesOfText(text: string): TextSample[] {
  return text.split("\n").flatMap((line) => {
    const [, name, pairs = "", number] = SAMPLE.exec(line) ?? [];
    const value = Number(number);
    if (name === undefined || Number.isNaN(value)) return [];
    const labels = [...pairs.matchAll(PAIR)].map(([, label = "", text = ""]) => [label, unescaped(text)]);
    return [{ name, labels: Object.fromEntries(labels), value }];
  });
}

const unescaped = (text: string) =>
  text.replace(/\\(.)/gs, (_, char: string) => (char === "n" ? "\n" : char));
