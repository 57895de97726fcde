import { ExponentialBackoff, handleWhen, retry } from "cockatiel";
import { Webhook } from "standardwebhooks";
import { IoError } from "../errors.ts";
import { isError } from "../fs/io.ts";
import type { Told } from "./notice.ts";
import { slackOf } from "./notice-text.ts";
import type { ReceiverSection } from "./notification-schema.ts";
import { sendMail } from "./send-mail.ts";

const ANSWER_MS = 10_000;
const RETRIES = 3;
/** What services for pings take. */
const MOST_CHARACTERS = 10_000;

/**
 * Sends a notice to a receiver. Answers with those of its addresses that were refused, where others were not.
 *
 * @param id the same for the same notice, however often it is sent.
 * @throws IoError, UnsupportedError. No message holds a secret.
 */
export async function sendNotice(
  section: ReceiverSection,
  id: string,
  notice: Told,
  signal: AbortSignal,
): Promise<readonly string[]> {
  switch (section.type) {
    case "mail":
      return sendMail(section, id, notice, signal);
    case "slack":
      await post(
        section.url,
        JSON.stringify(slackOf(notice)),
        { "content-type": "application/json" },
        signal,
      );
      return [];
    case "webhook":
      await sendWebhook(section, id, notice, signal);
      return [];
  }
}

/** In the form of Standard Webhooks: with the secret the receiver knows that it comes from here. */
async function sendWebhook(
  { url, secret }: Extract<ReceiverSection, { type: "webhook" }>,
  id: string,
  notice: Told,
  signal: AbortSignal,
): Promise<void> {
  const { kind, ...data } = notice;
  const at = new Date();
  const body = JSON.stringify({ type: `backup.${kind}`, timestamp: at.toISOString(), data });
  const signature = secret === undefined ? undefined : new Webhook(secret).sign(id, at, body);
  const headers = {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    ...(signature !== undefined && { "webhook-signature": signature }),
  };
  await post(url, body, headers, signal);
}

/**
 * Calls an address of the kind of healthchecks.io: as it is after a success, with `/start` and `/fail`.
 *
 * @throws IoError
 */
export async function sendPing(
  url: string,
  what: "" | "/start" | "/fail",
  text = "",
  signal: AbortSignal,
): Promise<void> {
  const address = new URL(url);
  address.pathname = `${address.pathname.replace(/\/$/, "")}${what}`;
  const headers = { "content-type": "text/plain; charset=utf-8" };
  await post(address.href, text.slice(0, MOST_CHARACTERS), headers, signal);
}

/** Tries again at once, a few times, where that may help. */
async function post(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const policy = retry(
    handleWhen((error) => !signal.aborted && !(error instanceof RefusedError)),
    {
      maxAttempts: RETRIES,
      backoff: new ExponentialBackoff({ initialDelay: 500, maxDelay: 5000 }),
    },
  );
  await policy.execute(() => postOnce(url, body, headers, signal), signal);
}

/** The receiver answered that it does not want what was sent. */
class RefusedError extends IoError {}

async function postOnce(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const { host } = new URL(url);
  let response: Response;
  try {
    // Elsewhere the signature and the token would go, too.
    response = await fetch(url, {
      ...{ method: "POST", body, headers, redirect: "manual" },
      signal: AbortSignal.any([AbortSignal.timeout(ANSWER_MS), signal]),
    });
    await response.body?.cancel();
  } catch (error) {
    const cause = isError(error) && isError(error.cause) ? error.cause.message : "";
    const isLate = signal.aborted || (isError(error) && error.name === "TimeoutError");
    throw new IoError(
      `${host} could not be reached: ${isLate ? "it did not answer in time" : cause || "the request failed"}.`,
    );
  }
  if (response.ok) return;
  const { status } = response;
  const isForGood = status >= 300 && status < 500 && status !== 408 && status !== 429;
  throw new (isForGood ? RefusedError : IoError)(`${host} answered with the status ${status}.`);
}
