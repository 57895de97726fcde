/** Runs `task` for every item, some at a time. The first error ends it, when those under way have ended. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  parallel: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const work = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await task(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: parallel }, work));
  for (const result of settled) if (result.status === "rejected") throw result.reason;
}
