import { BackupError, LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { PinLostError } from "./pin-lost.ts";

/** Runs what reads a table for a backup; an error of LanceDB comes out with the table's name. */
export async function reading<T>(table: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof BackupError || error instanceof PinLostError) throw error;
    const reason = reasonOf(error);
    throw new LanceError(`The table ${table} could not be read for a backup: ${reason}`, { cause: error });
  }
}
