import { BackupError, LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";

const MISSING_INDEX = /not found:.*\/_indices\//is;
const BROKEN_INDEX =
  " A file of an index is missing; the rows are all there. Drop that index (dropIndex) and make it anew (createIndex); the doctor command names it.";

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
    const advice = MISSING_INDEX.test(reason) ? BROKEN_INDEX : "";
    throw new LanceError(`LanceDB could not ${action}: ${reason}${advice}`, { cause: error });
  }
}
