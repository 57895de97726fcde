import { reasonOf } from "../fs/io.ts";
import type { Context } from "./context.ts";
import { EXIT } from "./exit-codes.ts";

/** What goes on until it is stopped. */
export interface Lasting {
  start(): void | Promise<void>;
  /** Told when another is to take its place, which may be long before it has ended. */
  giveWay?(): void;
  stop(options?: { readonly graceMs?: number }): Promise<void>;
}

/**
 * Lets something go on until SIGTERM or Ctrl-C. SIGHUP makes it anew, and where that fails it stays as it was; what is under
 * way ends before the new one starts. Where stopping takes longer than `stopMs`, or a second signal comes, the process
 * leaves at once.
 */
export async function stayUntilTold(
  { interrupt, screen, logger }: Context,
  make: () => Promise<Lasting>,
  stopMs: number,
): Promise<void> {
  let current = await make();
  const told = Promise.withResolvers<void>();
  let reading: Promise<void> = Promise.resolve();
  let isEnding = false;
  const end = () => {
    if (isEnding) leave("Left at once. No snapshot was made by the runs that were under way.");
    isEnding = true;
    told.resolve();
  };
  const leave = (message: string) => {
    screen.line(message);
    process.exit(EXIT.failed);
  };
  let next: Lasting | undefined;
  let replacing: Promise<void> | undefined;
  const reload = async () => {
    try {
      next = await make();
    } catch (error) {
      logger.error("the file could not be read again; the policies stay as they were", {
        reason: reasonOf(error),
      });
      return;
    }
    current.giveWay?.();
    replacing ??= replace().finally(() => {
      replacing = undefined;
    });
  };
  /** What is under way may take long: of what is read meanwhile, the newest is what starts. */
  const replace = async () => {
    while (next) {
      current.giveWay?.();
      try {
        await current.stop({ graceMs: Number.POSITIVE_INFINITY });
      } catch (error) {
        logger.error("the previous run did not end cleanly", { reason: reasonOf(error) });
      }
      current = next;
      next = undefined;
      try {
        if (!isEnding) await current.start();
        screen.line("The policies were read again.");
      } catch (error) {
        logger.error("the new policies cannot start; SIGHUP tries again", { reason: reasonOf(error) });
      }
    }
    // Told to end while it started, it was stopped before there was anything to stop.
    if (isEnding) await current.stop();
  };
  const hangUp = () => {
    reading = reading.then(reload);
  };
  interrupt.unlisten();
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", hangUp);
  try {
    await current.start();
    await told.promise;
    const timer = setTimeout(
      () => leave("Runs under way did not stop in time. They made no snapshot."),
      Math.min(stopMs, 2 ** 31 - 1), // a longer one would end at once
    );
    await Promise.all([current.stop(), reading.then(() => replacing)]);
    clearTimeout(timer);
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", hangUp);
  }
}
