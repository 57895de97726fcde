import { randomUUID } from "node:crypto";
import { IoError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import { waitAtMost } from "../util/abortable.ts";
import type { Clock } from "../util/clock.ts";
import { lowestOf } from "../util/extremes.ts";
import { Slots } from "../util/slots.ts";
import {
  digestIdOf,
  digestOf,
  type Notice,
  noticesOf,
  type Overdue,
  otherRunNotice,
  overdueNotice,
} from "./notice.ts";
import { isLasting, isWanted, type NoticeKind } from "./notice-kinds.ts";
import { NoticeOutbox } from "./notice-outbox.ts";
import {
  allReceivers,
  digestMsOf,
  hostOf,
  isDue,
  nameOf,
  type Receiver,
  receiversOf,
} from "./policy-receivers.ts";
import type { PolicySettings } from "./policy-set.ts";
import type { RunReport } from "./run-policy.ts";
import { endsFailures, type PolicyState, type ServiceState, type WaitingNotice } from "./service-state.ts";

/** How long the end of a run, or of the service, waits for what is being sent. */
const LONGEST_WAIT_MS = 10_000;
/** What did not arrive is sent again after so long, and then after twice as long each time. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;
/** Then it is given up. */
const GIVEN_UP_MS = 3 * 86_400_000;
/** A ping that has waited in line for so long is not sent: it would tell of a run as of now. */
const LONGEST_LINE_MS = 60_000;
/** At a time to one host: a hundred policies may fail at once. */
const AT_A_TIME = 4;

/** Loaded where there is somebody to tell. */
const sender = () => import("./send-notice.ts");

/**
 * Tells of runs as policies say: by default of a failure, the first success after it, what is overdue, damage, and tables that have shrunk;
 * of what goes on again after a day; of many at once in one. A notice waits in the state until it has arrived: what cannot be sent is a warning, and sent again
 * later, also by the next process, for three days. Nothing here is thrown: whatever breaks off is a warning, and fails no run.
 */
export class Notices {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #state: ServiceState;
  /** What is being made of runs, and not sent yet. */
  readonly #making = new Set<Promise<void>>();
  /** The last thing that is being sent to a receiver; it comes behind the others. */
  readonly #sending = new Map<string, Promise<void>>();
  readonly #hosts = new Map<string, Slots>();
  /** By receiver: policies that have one in common are told of together. */
  readonly #outboxes = new Map<string, Outbox>();
  /** Ids of what is held in an outbox, or is being sent. */
  readonly #atHand = new Set<string>();
  /** When something of a policy is to be sent again. */
  readonly #again = new Map<PolicySettings, number>();
  #stop = new AbortController();

  constructor(logger: Logger, state: ServiceState, clock: Clock) {
    this.#logger = logger;
    this.#state = state;
    this.#clock = clock;
  }

  #now(): number {
    return this.#clock.now();
  }

  /** A run begins. */
  begin(settings: PolicySettings): void {
    for (const [index, one] of settings.notifications.entries())
      if (one.type === "ping") this.#ping(settings, index, one.url, "/start");
  }

  /** A run has ended. @param before what was known when it began. */
  end(settings: PolicySettings, report: RunReport, before: PolicyState): Promise<void> {
    return this.#attempt(settings, () => this.#end(settings, report, before));
  }

  async #end(settings: PolicySettings, report: RunReport, before: PolicyState): Promise<void> {
    if (report.outcome === "aborted") return;
    const notices = noticesOf(settings, report, {
      failures: before.failures,
      isOver: endsFailures(report, before),
      isOverdue: isToldOverdue(before),
    });
    for (const [index, one] of settings.notifications.entries()) {
      if (one.type !== "ping") continue;
      const text = notices.map(({ message }) => message).join("\n");
      this.#ping(settings, index, one.url, report.outcome === "success" ? "" : "/fail", text);
    }
    const over: NoticeKind[] = [
      ...(endsFailures(report, before) ? (["failure"] as const) : []),
      ...(report.snapshot ? (["overdue"] as const) : []),
      ...(report.verification?.every(({ ok }) => ok) ? (["damage"] as const) : []),
    ];
    await this.#queue(settings, notices, over);
  }

  /** A policy seems to be overdue. @param find how; asked where somebody is to be told of it, and undefined where it is not. */
  overdue(settings: PolicySettings, find: () => Promise<Overdue | undefined>): Promise<void> {
    return this.#attempt(settings, async () => {
      const state = this.#state.read(settings);
      if (receiversOf(settings, "overdue").every((one) => !isDue(one, "overdue", state.told, this.#now())))
        return;
      const found = await find();
      // Who hears that each run fails need not hear that none ever went well.
      if (found && (found.lastSuccess || state.failures === 0))
        await this.#queue(settings, [overdueNotice(settings, found, state.failures)], []);
    });
  }

  /** A policy is not overdue: who was told that it is is told that, where no run of this machine has. */
  notOverdue(settings: PolicySettings, lastSuccess: Date): Promise<void> {
    return this.#attempt(settings, async () => {
      if (!isToldOverdue(this.#state.read(settings))) return;
      await this.#queue(settings, [otherRunNotice(settings, lastSuccess)], ["overdue"]);
    });
  }

  /** Sends what waits, and is due: after a restart, and every so often. */
  async resume(settings: PolicySettings): Promise<void> {
    if (settings.notifications.length > 0) await this.#attempt(settings, () => this.#flush(settings));
  }

  /** Sends what is to be sent again by now, or was held until now. */
  tick(): void {
    this.#release(false);
    for (const [settings, at] of [...this.#again]) {
      if (at > this.#now()) continue;
      this.#again.delete(settings);
      void this.#attempt(settings, () => this.#flush(settings));
    }
  }

  /** Waits until what is being sent has arrived, or was given up for now; a while, and no longer. */
  async sendAll(): Promise<void> {
    const { signal } = this.#stop;
    const sent = async (): Promise<void> => {
      do {
        await Promise.allSettled(this.#making);
        this.#release(true);
        await Promise.all(this.#sending.values());
      } while (this.#making.size > 0 || this.#sending.size > 0);
    };
    await waitAtMost(sent(), LONGEST_WAIT_MS, signal);
    this.#stop.abort(new Error("it is sent later"));
    await sent();
    this.#stop = new AbortController();
  }

  /** Without its stack, which may hold an address. */
  async #attempt({ name }: PolicySettings, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#logger.warn("a notice could not be made", { policy: name, reason: reasonOf(error) });
    }
  }

  /** `sendAll` waits for it. */
  async #make(making: Promise<void>): Promise<void> {
    this.#making.add(making);
    try {
      await making;
    } finally {
      this.#making.delete(making);
    }
  }

  /** Keeps notices for each receiver that wants them, and sends them. @param over kinds that go on no more. */
  #queue(settings: PolicySettings, notices: readonly Notice[], over: readonly NoticeKind[]): Promise<void> {
    return this.#make(this.#keepAndSend(settings, notices, over));
  }

  async #keepAndSend(
    settings: PolicySettings,
    notices: readonly Notice[],
    over: readonly NoticeKind[],
  ): Promise<void> {
    const now = this.#now();
    await this.#state.change(settings, (state) => {
      const told = { ...state.told };
      const waiting = [...state.waiting];
      for (const { kind, ...notice } of notices) {
        for (const receiver of receiversOf(settings, kind)) {
          // What failed since tables shrank is told once, to those who hear of both.
          const isTwice = kind === "shrink" && notice.failures > 0 && isWanted(receiver.section, "failure");
          if (isTwice || !isDue(receiver, kind, told, now)) continue;
          if (isLasting(kind)) told[`${receiver.key} ${kind}`] = now;
          const id = `msg_${randomUUID()}`;
          waiting.push({
            id,
            receiver: receiver.key,
            notice: { kind, ...notice },
            since: now,
            attempts: 0,
            next: now,
          });
        }
      }
      for (const key of Object.keys(told))
        if (over.some((kind) => key.endsWith(` ${kind}`))) delete told[key];
      return { ...state, told, waiting };
    });
    await this.#flush(settings);
  }

  /** Begins to send what is due. */
  #flush(settings: PolicySettings): Promise<void> {
    return this.#make(this.#sendDue(settings));
  }

  async #sendDue(settings: PolicySettings): Promise<void> {
    this.#release(false);
    const now = this.#now();
    const { waiting } = this.#state.read(settings);
    const due = waiting.filter(({ id, next }) => next <= now && !this.#atHand.has(id));
    if (due.length === 0) return this.#planAgain(settings);
    const receivers = new Map(allReceivers(settings).map((one) => [one.key, one]));
    const held = new Map<string, Outbox>();
    for (const { id, receiver } of due) {
      this.#atHand.add(id);
      const outbox = this.#outboxOf(receivers.get(receiver));
      if (outbox && !outbox.notices.mayGo(now)) held.set(id, outbox);
    }
    const isDueNow = (id: string) => due.some((one) => one.id === id);
    // Until it is known how this attempt ends, no other process makes one.
    const state = await this.#state.change(settings, (before) => ({
      ...before,
      waiting: before.waiting.map((one) => {
        if (!isDueNow(one.id) || one.next > now) return one;
        const heldMs = held.get(one.id)?.notices.windowMs ?? 0;
        return { ...one, attempts: one.attempts + 1, next: now + heldMs + pauseAfter(one.attempts + 1) };
      }),
    }));
    for (const { id } of due) if (!state.waiting.some((one) => one.id === id)) this.#atHand.delete(id);
    for (const one of state.waiting) {
      if (!isDueNow(one.id)) continue;
      const told = { settings, waiting: one };
      const outbox = held.get(one.id);
      if (outbox) {
        outbox.notices.hold(told, now);
        this.#releaseInTime(outbox);
      } else this.#send(receivers.get(one.receiver), [told]);
    }
    this.#planAgain(settings, state);
  }

  /** Undefined where each notice goes by itself. */
  #outboxOf(receiver: Receiver | undefined): Outbox | undefined {
    if (!receiver) return undefined;
    const windowMs = digestMsOf(receiver);
    if (windowMs === undefined) return undefined;
    const name = nameOf(receiver);
    const outbox = this.#outboxes.get(name) ?? { receiver, notices: new NoticeOutbox(windowMs) };
    this.#outboxes.set(name, outbox);
    return outbox;
  }

  #release(isEnd: boolean): void {
    for (const { receiver, notices } of this.#outboxes.values()) {
      const held = notices.release(this.#now(), isEnd);
      if (held.length > 0) this.#send(receiver, held);
    }
  }

  /** Also where nothing ticks: runs may be asked for without a start. */
  #releaseInTime(outbox: Outbox): void {
    const remaining = outbox.notices.remainingMs(this.#now());
    if (outbox.endTimer || remaining === undefined) return;
    outbox.endTimer = this.#clock.every(Math.max(remaining, 1), () => {
      outbox.endTimer?.();
      outbox.endTimer = undefined;
      this.#release(false);
      this.#releaseInTime(outbox);
    });
  }

  #planAgain(settings: PolicySettings, { waiting } = this.#state.read(settings)): void {
    const others = waiting.filter(({ id }) => !this.#atHand.has(id)).map(({ next }) => next);
    if (others.length === 0) this.#again.delete(settings);
    else this.#again.set(settings, lowestOf(Number.POSITIVE_INFINITY, others));
  }

  /** Sends notices to a receiver, several in one. @param receiver undefined: it is not in the file any more */
  #send(receiver: Receiver | undefined, told: readonly WaitingFor[]): void {
    const [first] = told;
    if (!first) return;
    const { settings, waiting } = first;
    const isOne = told.length === 1;
    const meta = isOne
      ? { policy: settings.name, kind: waiting.notice.kind }
      : { kind: "digest", notices: told.length };
    const forget = async (those: readonly WaitingFor[]) => {
      for (const one of those) await this.#remove(one.settings, one.waiting.id);
    };
    const send = async (signal: AbortSignal) => {
      if (!receiver) {
        this.#logger.warn("a notice is dropped: its receiver is no longer in the file", meta);
        return forget(told);
      }
      const all = told.map((one) => one.waiting);
      const [id, notice] = isOne ? [waiting.id, waiting.notice] : [digestIdOf(all), digestOf(all)];
      try {
        const refused = await (await sender()).sendNotice(receiver.section, id, notice, signal);
        if (refused.length > 0)
          this.#logger.warn("a notice was refused for some receivers", {
            ...meta,
            refused: refused.join(", "),
          });
        await forget(told);
      } catch (error) {
        const isOver = ({ waiting: { since } }: WaitingFor) => this.#now() - since > GIVEN_UP_MS;
        const givenUp = told.filter(isOver);
        const next = told.filter((one) => !givenUp.includes(one)).map((one) => one.waiting.next);
        this.#logger.warn("a notice was not sent", {
          ...{ ...meta, reason: reasonOf(error) },
          ...(givenUp.length > 0 && { givenUp: givenUp.length }),
          ...(next.length > 0 && { nextAttempt: new Date(lowestOf(Infinity, next)).toISOString() }),
        });
        await forget(givenUp);
      }
    };
    // To one that many policies have in common one after the other, so that no digest comes before what it follows.
    const isCommon = receiver && this.#outboxOf(receiver);
    const line = isCommon ? nameOf(receiver) : JSON.stringify([settings.name, waiting.receiver]);
    this.#behind(line, receiver?.host ?? "", (signal) =>
      send(signal).finally(() => {
        for (const one of told) this.#atHand.delete(one.waiting.id);
        for (const one of told) this.#planAgain(one.settings);
      }),
    );
  }

  async #remove(settings: PolicySettings, id: string): Promise<void> {
    const state = await this.#state.change(settings, (before) => ({
      ...before,
      waiting: before.waiting.filter((one) => one.id !== id),
    }));
    this.#planAgain(settings, state);
  }

  /** What cannot be called is not called later: then it would tell of a run as of now. */
  #ping(
    settings: PolicySettings,
    index: number,
    url: string,
    what: "" | "/start" | "/fail",
    text?: string,
  ): void {
    const asked = this.#now();
    const send = async (signal: AbortSignal) => {
      try {
        if (this.#now() - asked > LONGEST_LINE_MS) throw new IoError("the notices before it took too long");
        await (await sender()).sendPing(url, what, text, signal);
      } catch (error) {
        this.#logger.warn("a notice was not sent", { policy: settings.name, reason: reasonOf(error) });
      }
    };
    void this.#attempt(settings, () =>
      this.#behind(JSON.stringify([settings.name, `ping ${index}`]), hostOf(url), send),
    );
  }

  /** Behind what is being sent to the same: who hears that a run began after it has ended waits for its end for ever. */
  #behind(line: string, host: string, send: (signal: AbortSignal) => Promise<void>): void {
    const { signal } = this.#stop;
    const slots = this.#hosts.get(host) ?? new Slots(AT_A_TIME);
    this.#hosts.set(host, slots);
    const before = this.#sending.get(line) ?? Promise.resolve();
    const sending: Promise<void> = before
      .then(() => slots.within(() => send(signal)))
      .catch((error: unknown) => {
        this.#logger.error("a notice could not be made", { reason: reasonOf(error) });
      })
      .finally(() => {
        if (this.#sending.get(line) === sending) this.#sending.delete(line);
      });
    this.#sending.set(line, sending);
  }
}

/** A notice that waits, and whose it is. */
interface WaitingFor {
  readonly settings: PolicySettings;
  readonly waiting: WaitingNotice;
}

interface Outbox {
  readonly receiver: Receiver;
  readonly notices: NoticeOutbox<WaitingFor>;
  /** While a timer runs that releases what is held. */
  endTimer?: (() => void) | undefined;
}

const isToldOverdue = ({ told }: PolicyState) => Object.keys(told).some((key) => key.endsWith(" overdue"));

const pauseAfter = (attempts: number) =>
  Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 20), LONGEST_PAUSE_MS);
