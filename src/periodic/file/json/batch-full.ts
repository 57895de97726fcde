/** The rows are too many for one batch: fewer at a time will do. */
export class BatchFull extends Error {}

/** Bytes of one column's values in a batch, and items that null vectors stand for: a few bytes of text must not ask for all memory there is. */
export const MAX_BUILT_BYTES = 256 * 1024 * 1024;
export const MAX_UNSEEN_ITEMS = 16 * 1024 * 1024;
