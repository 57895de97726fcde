import { AsyncLocalStorage } from "node:async_hooks";
import { ValidationError } from "../errors.ts";

/** The calls that guarded work has made: let through until it ends, and waited for then. */
export class OpenCalls {
  readonly #signal: AbortSignal | undefined;
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Set for what runs inside of a call that was let through, and for what that has started and not waited for. */
  readonly #inside = new AsyncLocalStorage<{ ended: boolean }>();
  #closed: unknown;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * Runs a call that was made in the work, and all that it leads to: the end of the work waits for it, whether
   * or not the caller did. @throws ValidationError once the work has ended.
   */
  async run<R>(task: () => Promise<R>): Promise<R> {
    this.assertOpen();
    const call = { ended: false };
    const promise = this.#inside.run(call, async () => task());
    const end = () => {
      call.ended = true;
    };
    const ended = promise.then(end, end);
    this.#inFlight.add(ended);
    ended.then(() => this.#inFlight.delete(ended));
    return promise;
  }

  /** No further call is let through; answers when those under way have ended. */
  async close(reason: unknown): Promise<void> {
    this.#closed ??= reason;
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  assertOpen(): void {
    this.#signal?.throwIfAborted();
    const call = this.#inside.getStore();
    if (this.#closed !== undefined && (!call || call.ended)) throw this.#closed;
  }

  static ended(): ValidationError {
    return new ValidationError(
      "The guarded work has ended, and its connection no longer writes. Use a connection of your own.",
    );
  }
}
