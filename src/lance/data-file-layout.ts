import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A stretch of a data file that holds values of one column. */
export interface ColumnStretch {
  /** The column's number in the file. */
  readonly column: number;
  readonly start: number;
  readonly end: number;
  /** Offset of the first row that it holds. */
  readonly firstRow: number;
  /** One beyond the last; undefined to the end of the fragment. */
  readonly endRow: number | undefined;
}

/**
 * Footer of a Lance file from 2.0 on: `u64 first column metadata | u64 table of column metadata | u64 table of global
 * buffers | u32 global buffers | u32 columns | u16 major | u16 minor | "LANC"`; the table has `u64 position, u64 size` for
 * each column (protos/file2.proto of Lance).
 */
const FOOTER_BYTES = 40;
const MOST_COLUMNS = 1 << 20;

/**
 * Where in a data file the columns' values lie. Undefined for a format that this does not know.
 *
 * @param read answers with the bytes of a sound copy of the file.
 */
export async function readLayout(
  size: number,
  read: (offset: number, length: number) => Promise<Buffer>,
): Promise<readonly ColumnStretch[] | undefined> {
  if (size < FOOTER_BYTES) return undefined;
  const footer = await read(size - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.toString("latin1", 36) !== "LANC") return undefined;
  const version = `${footer.readUInt16LE(32)}.${footer.readUInt16LE(34)}`;
  if (!/^(0\.3|2\.\d+)$/.test(version)) return undefined;
  const [start, table] = [Number(footer.readBigUInt64LE(0)), Number(footer.readBigUInt64LE(8))];
  const columns = footer.readUInt32LE(28);
  if (columns > MOST_COLUMNS || start > table || table + columns * 16 > size) return undefined;
  const metadata = await read(start, table + columns * 16 - start);
  const stretches: ColumnStretch[] = [];
  for (let column = 0; column < columns; column++) {
    const entry = table - start + column * 16;
    const from = Number(metadata.readBigUInt64LE(entry)) - start;
    const to = from + Number(metadata.readBigUInt64LE(entry + 8));
    stretches.push(...stretchesOf(metadata.subarray(from, to), column));
  }
  return stretches;
}

interface Buffers {
  offsets: number[];
  sizes: number[];
  firstRow: number;
}

/** ColumnMetadata: pages 2 (buffer_offsets 1, buffer_sizes 2, priority 5, the first row), buffer_offsets 3, buffer_sizes 4. */
function stretchesOf(message: Buffer, column: number): ColumnStretch[] {
  const own: Buffers = { offsets: [], sizes: [], firstRow: 0 };
  const pages: Buffers[] = [];
  readFields(message, (number, reader, wireType) => {
    if (number === 2) pages.push(pageFrom(reader.bytes()));
    else if (number === 3) own.offsets.push(...numbers(reader, wireType));
    else if (number === 4) own.sizes.push(...numbers(reader, wireType));
    else reader.skip(wireType);
  });
  const list = ({ offsets, sizes, firstRow }: Buffers, endRow: number | undefined) =>
    offsets.map((start, index) => ({ column, start, end: start + (sizes[index] ?? 0), firstRow, endRow }));
  return [...pages.flatMap((page, index) => list(page, pages[index + 1]?.firstRow)), ...list(own, undefined)];
}

function pageFrom(message: Uint8Array): Buffers {
  const page: Buffers = { offsets: [], sizes: [], firstRow: 0 };
  readFields(message, (number, reader, wireType) => {
    if (number === 1) page.offsets.push(...numbers(reader, wireType));
    else if (number === 2) page.sizes.push(...numbers(reader, wireType));
    else if (number === 5) page.firstRow = Number(reader.uint64());
    else reader.skip(wireType);
  });
  return page;
}

function readFields(
  message: Uint8Array,
  use: (number: number, reader: BinaryReader, wireType: WireType) => void,
): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    use(number, reader, wireType);
  }
}

function numbers(reader: BinaryReader, wireType: WireType): number[] {
  if (wireType !== WireType.LengthDelimited) return [Number(reader.uint64())];
  const inner = new BinaryReader(reader.bytes());
  const values: number[] = [];
  while (inner.pos < inner.len) values.push(Number(inner.uint64()));
  return values;
}
