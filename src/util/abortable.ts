/** What `work` resolves to, or a rejection with the signal's reason as soon as it fires; `work` itself goes on. */
export async function abortable<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work();
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work(), promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Waits for the end, so long at most, and until the signal fires. @throws what `ended` rejects with */
export async function waitAtMost(ended: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const over = Promise.withResolvers<void>();
  const stop = () => over.resolve();
  signal.addEventListener("abort", stop, { once: true });
  // Timers take no longer ones: they would end at once.
  const timer = ms < 2 ** 31 ? setTimeout(stop, ms) : undefined;
  try {
    await Promise.race([ended, over.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
