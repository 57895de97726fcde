import type { SSEStreamingApi } from "hono/streaming";
import { workList } from "./page-parts.ts";
import type { PageSource } from "./page-state.ts";
import type { Session } from "./sign-in.ts";

/** Progress is sent so often at most. */
const WORK_MS = 250;
/** What is said of times, as "3 min ago", is said anew so often. */
const AGAIN_MS = 30_000;
const MOST_LISTENERS = 200;
/** Tabs of one browser: somebody alone does not take the places of all. */
const MOST_OF_A_SESSION = 20;

/** Who takes nothing for so long is gone: a browser that wakes up connects anew. */
const STALLED_MS = 60_000;

interface Letter {
  readonly event: string;
  /** Made when it is sent: of what was said meanwhile, only the last is. */
  readonly data: () => string;
}

/**
 * What is to be sent to one listener, one thing after the other. While one is under way, of each kind only the newest waits, so
 * that who reads slowly, or not at all, costs no more than that.
 */
class Outbox {
  readonly #send: (letter: Letter) => Promise<unknown>;
  readonly #onStalled: () => void;
  readonly #waiting = new Map<string, Letter>();
  #sending: Promise<void> | undefined;
  #isStalled = false;

  /** @param onStalled is called once, when nothing was taken for a minute, or can be sent any more. */
  constructor(send: (letter: Letter) => Promise<unknown>, onStalled: () => void) {
    this.#send = send;
    this.#onStalled = onStalled;
  }

  /** @param isNews whether it takes the place of what waits; else it only waits where nothing of its kind does. */
  put(event: string, data: () => string, isNews = true): void {
    if (this.#isStalled) return;
    if (isNews || !this.#waiting.has(event)) this.#waiting.set(event, { event, data });
    this.#sending ??= this.#empty();
  }

  /** Waits until all is sent; false where that is not so. */
  async end(): Promise<boolean> {
    await this.#sending;
    return !this.#isStalled;
  }

  async #empty(): Promise<void> {
    for (;;) {
      const [letter] = this.#waiting.values();
      if (!letter) break;
      this.#waiting.delete(letter.event);
      const stalled = Promise.withResolvers<false>();
      const timer = setTimeout(() => stalled.resolve(false), STALLED_MS).unref();
      const sent = this.#send(letter).then(
        () => true,
        () => false,
      );
      const isSent = await Promise.race([sent, stalled.promise]);
      clearTimeout(timer);
      if (isSent) continue;
      this.#isStalled = true;
      this.#waiting.clear();
      this.#onStalled();
    }
    this.#sending = undefined;
  }
}

/** Who looks at a page, and is told what happens: by server-sent events. */
export class LiveEvents {
  readonly #source: PageSource;
  readonly #now: () => number;
  readonly #open = new Map<(why: "over" | "gone") => void, Session>();

  constructor(source: PageSource, now: () => number) {
    this.#source = source;
    this.#now = now;
  }

  isFull(session: Session): boolean {
    const own = [...this.#open.values()].filter((each) => each === session).length;
    return this.#open.size >= MOST_LISTENERS || own >= MOST_OF_A_SESSION;
  }

  /**
   * Tells until the connection or the session ends: `work` with the list of what is under way, `changed` with what is to be
   * said, where a page is to be loaded anew, and `over`. What was not taken before the next of its kind is left out.
   *
   * @param policy what is under way of it alone.
   * @param isIn whether the session goes on.
   * @returns `gone` where nobody takes what is sent.
   */
  async follow(
    stream: SSEStreamingApi,
    session: Session,
    { policy, isIn }: { readonly policy: string | undefined; readonly isIn: () => boolean },
  ): Promise<"over" | "gone"> {
    const over = Promise.withResolvers<"over" | "gone">();
    const mail = new Outbox(
      ({ event, data }) => stream.writeSSE({ event, data: data() }),
      () => over.resolve("gone"),
    );
    let isDue = false;
    const sendWork = () => {
      isDue = false;
      mail.put("work", () => {
        const work = this.#source.work().filter((one) => policy === undefined || one.policy === policy);
        return workList(work, new Date(this.#now())).toString();
      });
    };
    const unlisten = this.#source.onChange((what, said = "") => {
      if (!isIn()) return over.resolve("over");
      if (what === "changed") return mail.put("changed", () => said, said !== "");
      if (isDue) return;
      isDue = true;
      setTimeout(sendWork, WORK_MS).unref();
    });
    const again = setInterval(
      () => (isIn() ? mail.put("changed", () => "", false) : over.resolve("over")),
      AGAIN_MS,
    );
    const timer = setTimeout(() => over.resolve("over"), Math.min(2 ** 31 - 1, session.until - this.#now()));
    for (const each of [again, timer]) each.unref();
    const close = over.resolve;
    this.#open.set(close, session);
    stream.onAbort(() => close("gone"));
    sendWork();
    const why = await over.promise;
    unlisten();
    clearInterval(again);
    clearTimeout(timer);
    this.#open.delete(close);
    if (why === "over") mail.put("over", () => "");
    return (await mail.end()) ? why : "gone";
  }

  /** @param why `over`: the sessions end, which is told. */
  close(why: "over" | "gone" = "gone"): void {
    for (const close of [...this.#open.keys()]) close(why);
  }
}
