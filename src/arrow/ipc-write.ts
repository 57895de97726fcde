import type { Data, RecordBatch, Schema } from "apache-arrow";
import { arrow } from "./arrow.ts";
import { sizeOf, writableBatch } from "./writable.ts";

/** A schema as an encapsulated Arrow IPC message: marker, length, metadata. A multiple of 8 bytes. */
export function encodeSchema(schema: Schema): Uint8Array {
  const metadata = arrow.Message.encode(arrow.Message.from(schema));
  const size = (metadata.byteLength + 7) & ~7;
  const message = new Uint8Array(8 + size);
  const view = new DataView(message.buffer);
  view.setInt32(0, -1, true);
  view.setInt32(4, size, true);
  message.set(metadata, 8);
  return message;
}

/** An Arrow IPC stream that is being written. */
export interface StreamWriter {
  /** Writes a batch of the stream's schema, as several where it has too many rows or bytes for one. */
  write(batch: RecordBatch): void;
  /** Ends the stream. */
  close(): void;
}

/**
 * Begins a stream, by apache-arrow's own writer. It hands on the buffers of batches as they are, in front of them what
 * they need: whoever takes them must not have changed them when they are used.
 */
export function writeStream(
  schema: Schema,
  most: { readonly rows: number; readonly bytes: number },
  push: (bytes: Uint8Array) => void,
): StreamWriter {
  class Sink extends arrow.AsyncByteQueue {
    override write(bytes: Uint8Array): void {
      push(bytes);
    }
  }
  class Writer extends arrow.RecordBatchStreamWriter {
    /** The dictionaries that the stream has, by number. */
    readonly #dictionaries = new Map<number, Data | undefined>();

    override write(batch: RecordBatch): void {
      const rows = batch.numRows;
      if (rows > 1 && (rows > most.rows || sizeOf(batch.data) > most.bytes)) {
        const half = rows >> 1;
        this.write(batch.slice(0, half));
        this.write(batch.slice(half, rows));
      } else this._writeRecordBatch(writableBatch(batch));
    }

    /** Writers before 18 write a dictionary once, though the next batch has another. */
    protected override _writeDictionaries(batch: RecordBatch): this {
      for (const [id, { data }] of batch.dictionaries) {
        const [entries] = data;
        if (entries === undefined || this.#dictionaries.get(id) === entries) continue;
        this.#dictionaries.set(id, entries);
        this._writeDictionaryBatch(entries, id);
      }
      return this;
    }
  }
  return new Writer().reset(new Sink(), schema);
}
