import { BackupError, LanceError, UnsupportedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { PinLostError } from "./pin-lost.ts";

/** What LanceDB says of a full dictionary when it joins it with another, and of one that its own compaction has joined. */
const FULL_DICTIONARY = /dictionary key bigger than the key type|corrupt file dictionary/i;

/** Runs what reads a table for a backup; an error of LanceDB comes out with the table's name. */
export async function reading<T>(table: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof BackupError || error instanceof PinLostError) throw error;
    const reason = reasonOf(error);
    if (FULL_DICTIONARY.test(reason)) {
      throw new UnsupportedError(
        `The table ${table} has a column whose dictionary has more entries than its keys can number, and LanceDB cannot read it: periodic files cannot hold it. Write its rows to a table with wider keys (int16, int32), or leave it out with the option tables.`,
        { cause: error },
      );
    }
    throw new LanceError(`The table ${table} could not be read for a backup: ${reason}`, { cause: error });
  }
}
