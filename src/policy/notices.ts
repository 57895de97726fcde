import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import { parseDuration } from "./duration.ts";
import type { NotificationSection } from "./policy-schema.ts";
import type { PolicySettings } from "./policy-set.ts";
import { FULL_TAG, type RunReport } from "./run-policy.ts";
import { within } from "./run-slots.ts";

/** What somebody is told of. */
type NoticeKind = "failure" | "recovery" | "damage" | "shrink" | "success";

/** What a notice says; a webhook's `data`. */
export interface Notice {
  readonly kind: NoticeKind;
  readonly policy: string;
  /** In a sentence. */
  readonly message: string;
  readonly repository: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly snapshot?: string | undefined;
  /** How many runs have failed in a row, with this one. */
  readonly failures: number;
  readonly full?: boolean | undefined;
}

const LONGEST_WAIT_MS = 10_000;

const DEFAULT_KINDS: readonly NoticeKind[] = ["failure", "recovery", "damage", "shrink"];

/** Loaded where there is somebody to tell. */
const sender = () => import("./send-notice.ts");

/**
 * Tells of runs as policies say: by default of a failure, the first success after it, damage, and tables that have shrunk;
 * of failures that follow one another again after a day. What cannot be sent is tried again, and then a warning.
 */
export class Notices {
  readonly #logger: Logger;
  readonly #now: () => number;
  /** The last thing that is being sent for a policy; it comes behind the others. */
  readonly #sending = new Map<string, Promise<void>>();
  /** When a kind was told of last, by policy, kind and receiver. */
  readonly #told = new Map<string, number>();

  constructor(logger: Logger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
  }

  /** A run begins. */
  begin({ name, notifications }: PolicySettings): void {
    for (const one of notifications)
      if (one.type === "ping") this.#send(name, async () => (await sender()).sendPing(one.url, "/start"));
  }

  /** @param before how many runs had failed in a row before this one. */
  end(settings: PolicySettings, report: RunReport, before: number): void {
    if (report.outcome === "aborted") return;
    const notices = noticesOf(settings, report, before);
    for (const [index, one] of settings.notifications.entries()) {
      if (one.type === "ping") {
        const isFine = report.outcome === "success";
        const text = notices.map(({ message }) => message).join("\n");
        this.#send(settings.name, async () =>
          (await sender()).sendPing(one.url, isFine ? "" : "/fail", text),
        );
        continue;
      }
      for (const notice of notices) {
        if (!this.#isWanted(one, index, notice)) continue;
        this.#send(settings.name, async () => (await sender()).sendWebhook(one.url, one.secret, notice));
      }
    }
  }

  /** Waits until what is being sent has arrived, or was given up; a while, and no longer. */
  async settle(): Promise<void> {
    await within(Promise.all(this.#sending.values()), LONGEST_WAIT_MS, new AbortController().signal);
  }

  #isWanted({ on, repeat = "24h" }: Webhook, index: number, notice: Notice): boolean {
    const wanted: readonly NoticeKind[] = on ?? DEFAULT_KINDS;
    if (!wanted.includes(notice.kind)) return false;
    const { kind, policy, failures } = notice;
    const key = JSON.stringify([policy, kind, index]);
    const last = this.#told.get(key);
    const isRepeated = (kind === "failure" || kind === "damage") && failures > 1;
    if (isRepeated && last !== undefined && this.#now() - last < (parseDuration(repeat) ?? 0)) return false;
    this.#told.set(key, this.#now());
    return true;
  }

  /** Behind what is being sent for the policy: who hears that a run began after it has ended waits for its end for ever. */
  #send(policy: string, send: () => Promise<void>): void {
    const before = this.#sending.get(policy) ?? Promise.resolve();
    const sending = before
      .then(send)
      .catch((error: unknown) => {
        this.#logger.warn("a notice was not sent", { policy, reason: reasonOf(error) });
      })
      .finally(() => {
        if (this.#sending.get(policy) === sending) this.#sending.delete(policy);
      });
    this.#sending.set(policy, sending);
  }
}

type Webhook = Extract<NotificationSection, { type: "webhook" }>;

function noticesOf({ name: policy, storage }: PolicySettings, report: RunReport, before: number): Notice[] {
  const { outcome, snapshot, verification = [], error, type } = report;
  const failures = outcome === "failure" ? before + 1 : 0;
  const base = {
    ...{ policy, repository: storage.location, failures, startedAt: report.startedAt.toISOString() },
    durationMs: report.durationMs,
    ...(snapshot && { snapshot: snapshot.id, full: snapshot.tags.includes(FULL_TAG) }),
  };
  const notices: Notice[] = [];
  const tell = (kind: NoticeKind, message: string) => void notices.push({ kind, message, ...base });
  const damage = verification.filter(({ ok }) => !ok);
  if (damage.length > 0) {
    tell(
      "damage",
      `Policy ${policy}: its snapshot is damaged. ${damage.map(({ details }) => details).join(" ")}`,
    );
  } else if (outcome === "failure") {
    tell("failure", `Policy ${policy} failed: ${reasonOf(error)}`);
  }
  for (const { table, rowsBefore, rows, isGone } of snapshot?.shrunk ?? []) {
    const now = isGone ? "is gone" : `has ${rows}`;
    tell("shrink", `Policy ${policy}: table ${table} had ${rowsBefore} rows, and ${now}.`);
  }
  if (outcome === "success") {
    const what = `Policy ${policy} went well (${type ?? "no backup was due"}).`;
    tell("success", what);
    if (before > 0) tell("recovery", `${what} Before, it had failed ${before} times in a row.`);
  }
  return notices;
}
