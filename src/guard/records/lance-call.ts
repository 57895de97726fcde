import { BackupError, LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";

/**
 * Calls LanceDB. What it throws comes out as `LanceError` with the original as `cause`; our own errors
 * (the guard's connection raises them too) and the caller's abort reason come out unchanged.
 */
export async function callLance<T>(
  action: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BackupError || (signal?.aborted && error === signal.reason)) throw error;
    const reason = reasonOf(error);
    throw new LanceError(`LanceDB could not ${action}: ${reason}`, { cause: error });
  }
}
