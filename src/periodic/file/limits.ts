/** The number of the formats described in docs/formats.md. A reader refuses every other. */
export const FORMAT = 2;

/** Rows that one record batch in a file holds at most, so that a reader can hold one in memory. */
export const MAX_BATCH_ROWS = 65_536;

/** A batch with more bytes than this is written as several, unless it is a single row. */
export const BATCH_BYTES = 32 * 1024 * 1024;

/** A line of a JSON file: one row, or what stands before a table. V8's strings end at 512 MB. */
export const MAX_LINE_BYTES = 256 * 1024 * 1024;

/** What a file says about all its tables, as one JSON document. */
export const MAX_INDEX_BYTES = 256 * 1024 * 1024;
