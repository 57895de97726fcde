import type { EventEmitter } from "node:events";
import { freePiece } from "../../util/free-memory.ts";

/** Whether Node's client hands on copies of what a connection received; undefined as long as no answer has shown it. */
let handsOnCopies: boolean | undefined;

/** So many stretches must have been seen for an answer to show it. */
const ENOUGH = 4;

/**
 * Gives back the memory of what a connection receives while an answer is read. Node's client copies it, and leaves both to the
 * collector: 64 MB of either are there at most times, and for each so many it goes through the whole heap. That it copies is
 * not said anywhere. So the first answer is looked at: only where no piece of it lies in what was received are others given back.
 */
export class ReceivedBytes implements Disposable {
  readonly #connection: EventEmitter | undefined;
  readonly #received = new WeakSet<ArrayBufferLike>();
  #count = 0;
  #isHandedOn = false;

  /** @param body of an answer that is about to be read; another than Node's own is left alone. */
  constructor(body: unknown) {
    const { socket } = body as { readonly socket?: Partial<EventEmitter> };
    if (typeof socket?.on !== "function" || handsOnCopies === false) return;
    this.#connection = socket as EventEmitter;
    this.#connection.on("data", this.#onData); // behind the client's own listener, which is through with it
  }

  /** A piece of the answer has come. */
  saw(piece: Uint8Array): void {
    this.#isHandedOn ||= this.#received.has(piece.buffer);
  }

  [Symbol.dispose](): void {
    this.#connection?.off("data", this.#onData);
    if (this.#isHandedOn) handsOnCopies = false;
    else if (this.#count >= ENOUGH) handsOnCopies ??= true;
  }

  readonly #onData = (stretch: Uint8Array) => {
    if (handsOnCopies) freePiece(stretch);
    else {
      this.#received.add(stretch.buffer);
      this.#count++;
    }
  };
}
