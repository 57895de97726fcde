import { randomUUID } from "node:crypto";
import { ExponentialBackoff, handleAll, retry } from "cockatiel";
import { Webhook } from "standardwebhooks";
import { IoError } from "../errors.ts";
import { isError } from "../fs/io.ts";
import type { Notice } from "./notices.ts";

const ANSWER_MS = 10_000;
const RETRIES = 3;
/** What services for pings take. */
const MOST_CHARACTERS = 10_000;

/**
 * Sends a notice as a webhook, in the form of Standard Webhooks: with the secret the receiver knows that it comes from here.
 *
 * @throws IoError. It names the host alone: the address may hold a token.
 */
export async function sendWebhook(url: string, secret: string | undefined, notice: Notice): Promise<void> {
  const { kind, ...data } = notice;
  const [id, at] = [`msg_${randomUUID()}`, new Date()];
  const body = JSON.stringify({ type: `backup.${kind}`, timestamp: at.toISOString(), data });
  const signature = secret === undefined ? undefined : new Webhook(secret).sign(id, at, body);
  await post(url, body, {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    ...(signature !== undefined && { "webhook-signature": signature }),
  });
}

/**
 * Calls an address of the kind of healthchecks.io: as it is after a success, with `/start` and `/fail`.
 *
 * @throws IoError
 */
export async function sendPing(url: string, what: "" | "/start" | "/fail", text = ""): Promise<void> {
  const address = new URL(url);
  address.pathname = `${address.pathname.replace(/\/$/, "")}${what}`;
  await post(address.href, text.slice(0, MOST_CHARACTERS), { "content-type": "text/plain; charset=utf-8" });
}

async function post(url: string, body: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const policy = retry(handleAll, {
    maxAttempts: RETRIES,
    backoff: new ExponentialBackoff({ initialDelay: 500, maxDelay: 5000 }),
  });
  await policy.execute(() => postOnce(url, body, headers));
}

async function postOnce(url: string, body: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const { host } = new URL(url);
  let response: Response;
  try {
    // Elsewhere the signature and the token would go, too.
    response = await fetch(url, {
      ...{ method: "POST", body, headers, redirect: "error" },
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await response.body?.cancel();
  } catch (error) {
    const cause = isError(error) && isError(error.cause) ? error.cause.message : "";
    const why = isError(error) && error.name === "TimeoutError" ? "it did not answer in time" : cause;
    throw new IoError(`${host} could not be reached: ${why || "the request failed"}.`);
  }
  if (!response.ok) throw new IoError(`${host} answered with the status ${response.status}.`);
}
