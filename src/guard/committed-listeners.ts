import { reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";

/** Those who want to know of each guarded success. By then all is done: what they do wrong undoes nothing. */
export class Listeners {
  readonly #listeners = new Set<() => unknown>();

  /** Answers with the function that ends it. */
  add(listener: () => unknown): () => void {
    if (typeof listener !== "function") throw new TypeError("listener must be a function.");
    const own = () => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  tell(logger: Logger): void {
    const warn = (error: unknown) => {
      const reason = reasonOf(error);
      logger.warn("a listener of onCommitted failed; the work stays committed", { error: reason });
    };
    for (const listener of this.#listeners) {
      try {
        Promise.resolve(listener()).catch(warn);
      } catch (error) {
        warn(error);
      }
    }
  }
}
