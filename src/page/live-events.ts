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
   * said, where a page is to be loaded anew, and `over`.
   *
   * @param policy what is under way of it alone.
   * @param isIn whether the session goes on.
   */
  async follow(
    stream: SSEStreamingApi,
    session: Session,
    { policy, isIn }: { readonly policy: string | undefined; readonly isIn: () => boolean },
  ): Promise<void> {
    const over = Promise.withResolvers<"over" | "gone">();
    let isDue = false;
    let sent = Promise.resolve();
    const send = (event: string, data: string) => {
      sent = sent.then(() => stream.writeSSE({ event, data })).catch(() => over.resolve("gone"));
    };
    const sendWork = () => {
      isDue = false;
      const work = this.#source.work().filter((one) => policy === undefined || one.policy === policy);
      send("work", workList(work, new Date(this.#now())).toString());
    };
    const unlisten = this.#source.onChange((what, said) => {
      if (!isIn()) return over.resolve("over");
      if (what === "changed") return send("changed", said ?? "");
      if (isDue) return;
      isDue = true;
      setTimeout(sendWork, WORK_MS).unref();
    });
    const again = setInterval(() => (isIn() ? send("changed", "") : over.resolve("over")), AGAIN_MS);
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
    if (why === "over") send("over", "");
    await sent;
  }

  /** @param why `over`: the sessions end, which is told. */
  close(why: "over" | "gone" = "gone"): void {
    for (const close of [...this.#open.keys()]) close(why);
  }
}
