import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { GuardEvent, GuardEvents } from "./guard-events.ts";

const NAMES: readonly string[] = ["committed", "rolledBack", "recovered"] satisfies (keyof GuardEvents)[];

/** Those who want to know how guarded work ends. By then all is done: what they do wrong undoes nothing. */
export class GuardListeners {
  readonly #listeners = new Set<{ readonly name: string; readonly listener: (event: never) => unknown }>();

  /** Answers with the function that ends it. @throws TypeError */
  add<N extends keyof GuardEvents>(name: N, listener: (event: GuardEvents[N]) => unknown): () => void {
    if (!NAMES.includes(name)) {
      throw new TypeError(`There is no event ${JSON.stringify(name)}: there are ${NAMES.join(", ")}.`);
    }
    if (typeof listener !== "function") throw new TypeError("listener must be a function.");
    const own = { name, listener };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Whether it is worth to find out what an event says. */
  isHeard(name: keyof GuardEvents): boolean {
    return [...this.#listeners].some((own) => own.name === name);
  }

  tell(event: GuardEvent, logger: Logger): void {
    const warn = (error: unknown) => {
      const meta = { event: event.type, error: reasonOf(error) };
      logger.warn("a listener of the guard failed; what it was told of stays as it is", meta);
    };
    for (const { name, listener } of [...this.#listeners]) {
      if (name !== event.type) continue;
      try {
        Promise.resolve(listener(event as never)).catch(warn);
      } catch (error) {
        warn(error);
      }
    }
  }
}
