/** The pin of the version before is gone: only a full can go on. */
export class PinLostError extends Error {
  override readonly name = "PinLostError";
}
