import { types } from "node:util";
import type { Content } from "./storage.ts";

/**
 * The pieces of what is to be written. An abort ends them with the signal's reason, also while the next piece is
 * waited for; the source is then told to end, and not waited for.
 *
 * @example
 * ```ts
 * for await (const piece of piecesOf(content, signal)) await file.write(piece);
 * ```
 */
export async function* piecesOf(
  content: Content,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  if (types.isUint8Array(content)) {
    yield content;
    return;
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined); // where nobody waits any more
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const source = content[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([source.next(), aborted]);
      signal?.throwIfAborted();
      if (next.done) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    ended = !signal?.aborted; // it threw by itself
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    if (!ended) source.return?.().catch(() => undefined);
  }
}
