import type { RecordBatch } from "apache-arrow";
import type { PartName } from "./parts.ts";
import type { FileHead, TableHead } from "./types.ts";

/**
 * One file format's way to write. Called in order: for each table `beginTable`, then each of its parts with
 * its batches, then `endTable`; at last `end`. Names, forms and schemas have been checked.
 */
export interface FileEncoder {
  begin(head: FileHead): Promise<void>;
  beginTable(head: TableHead): Promise<void>;
  beginPart(name: PartName): Promise<void>;
  write(batch: RecordBatch): Promise<void>;
  endPart(): Promise<void>;
  endTable(): Promise<void>;
  /** Writes what comes after the tables, all but the checksum. */
  end(): Promise<void>;
  /** The file's last bytes. */
  seal(digest: Buffer): Uint8Array;
}
