import type { Logger } from "../logger.ts";

/** What the log says of a wait. The command shows it at once. */
export const WAITING = "waiting for somebody else";

const TOLD_AFTER_MS = 1000;

/** A wait, of which the log is told once, after a second, for whom it is. */
export class ToldWait {
  readonly #logger: Logger | undefined;
  readonly #since = performance.now();
  #isTold = false;

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** To be called at each turn. */
  turn(who: () => string): void {
    if (this.#isTold || performance.now() - this.#since < TOLD_AFTER_MS) return;
    this.#isTold = true;
    this.#logger?.info(WAITING, { for: who() });
  }
}
