import { Buffer, isUtf8 } from "node:buffer";
import { types } from "node:util";
import type { Binary, Data, DataType, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8 } from "apache-arrow";
import { Problem, show } from "./bad-value.ts";
import { type Building, type Codec, type Form, fill } from "./codec.ts";
import { bytesAt, bytesIn, newColumn, offsetsFor, rangeAt } from "./column.ts";
import { quoteText } from "./column-path.ts";

/** UTF-16 that is no text: half of a surrogate pair. UTF-8 cannot hold it, and encoders replace it in silence. */
const LONE_SURROGATE = /\p{Surrogate}/u;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export const textCodec: Codec<Utf8 | LargeUtf8> = {
  read(data, _type, form) {
    const bytes = bytesIn(data.values);
    if (form === "json") assertUtf8(bytes, data.valueOffsets, data.length);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return (index) => text.toString("utf8", ...rangeAt(data, index));
  },
  build: (type, values, to) =>
    variable(
      type,
      values,
      to,
      (value) => {
        if (typeof value !== "string") throw new Problem(`${show(value)} is not a string`);
        if (!LONE_SURROGATE.test(value)) return Buffer.byteLength(value);
        throw new Problem(`${show(value)} holds half of a surrogate pair, which UTF-8 cannot store`);
      },
      (bytes, value, at) => bytes.write(String(value), at),
    ),
  literals: () => ({
    literal: (keys, at) => quoteText(asBuffer(bytesAt(keys, at)).toString("utf8")),
  }),
};

/** Binary data; in JSON it is base64. */
export const bytesCodec: Codec<Binary | LargeBinary> = {
  read: (data, _type, form) => (index) => inForm(bytesAt(data, index), form),
  build: (type, values, to) =>
    variable(
      type,
      values,
      to,
      (value) => bytesFrom(value, to.form).byteLength,
      (bytes, value, at) => bytes.set(bytesFrom(value, to.form), at),
    ),
  literals: () => ({ literal: (keys, at) => hex(bytesAt(keys, at)) }),
};

export const fixedBytesCodec: Codec<FixedSizeBinary> = {
  read: (data, type, form) => (index) => inForm(cellAt(data, type, index), form),
  build(type, values, to) {
    const { byteWidth } = type;
    to.claim(values.length * byteWidth);
    const stored = new Uint8Array(values.length * byteWidth);
    const validity = fill(values, to, (value, index) => {
      const bytes = bytesFrom(value, to.form);
      if (bytes.length !== byteWidth) {
        throw new Problem(`${bytes.length} bytes where the column holds ${byteWidth}`);
      }
      stored.set(bytes, index * byteWidth);
    });
    return newColumn(type, values.length, validity, { values: stored });
  },
  literals: (type) => ({ literal: (keys, at) => hex(cellAt(keys, type, at)) }),
};

/** The bytes of a Uint8Array, Buffer, ArrayBuffer or DataView; other typed arrays are lists of numbers. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (types.isUint8Array(value)) return value;
  if (types.isArrayBuffer(value)) return new Uint8Array(value);
  if (types.isDataView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/** Holds text to UTF-8: the whole of it, and that no value starts or ends inside a character. */
export function assertUtf8(values: Uint8Array, offsets: Int32Array | BigInt64Array, length: number): void {
  const end = Number(offsets[length] ?? 0);
  const whole = isUtf8(values.subarray(Number(offsets[0] ?? 0), end));
  if (!whole) throw new Problem("a string is not valid UTF-8");
  for (let index = 1; index < length; index++) {
    const at = Number(offsets[index] ?? 0);
    if (at < end && ((values[at] ?? 0) & 0xc0) === 0x80) throw new Problem("a string is not valid UTF-8");
  }
}

function bytesFrom(value: unknown, form: Form): Uint8Array {
  if (form === "rows") {
    const bytes = bytesOf(value);
    if (bytes === undefined) throw new Problem(`${show(value)} is not binary data (a Uint8Array)`);
    return bytes;
  }
  if (typeof value === "string" && BASE64.test(value)) {
    const bytes = Buffer.from(value, "base64");
    if (
      bytes.length % 3 === 0 ||
      bytes.toString("base64", bytes.length - (bytes.length % 3)) === value.slice(-4)
    )
      return bytes;
  }
  throw new Problem(`${show(value)} is not base64`);
}

function inForm(bytes: Uint8Array, form: Form): Uint8Array | string {
  return form === "rows" ? bytes : asBuffer(bytes).toString("base64");
}

function cellAt({ values }: Data, { byteWidth }: FixedSizeBinary, index: number): Uint8Array {
  return bytesIn(values).subarray(index * byteWidth, (index + 1) * byteWidth);
}

function hex(bytes: Uint8Array): string {
  return `X'${asBuffer(bytes).toString("hex")}'`;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param sizeOf bytes of a value; throws a `Problem` where it is none of the type. @param put stores it. */
function variable(
  type: DataType,
  values: readonly unknown[],
  to: Building,
  sizeOf: (value: unknown) => number,
  put: (bytes: Buffer, value: unknown, at: number) => void,
): Data {
  const ends = new Float64Array(values.length + 1);
  const validity = fill(values, to, (value, index) => {
    ends[index + 1] = sizeOf(value);
  });
  for (let index = 0; index < values.length; index++)
    ends[index + 1] = (ends[index + 1] ?? 0) + (ends[index] ?? 0);
  const bytes = Buffer.allocUnsafeSlow(ends[values.length] ?? 0);
  for (let index = 0; index < values.length; index++) {
    const at = ends[index] ?? 0;
    if ((ends[index + 1] ?? 0) > at) put(bytes, values[index], at);
  }
  const parts = { offsets: offsetsFor(type, ends), values: new Uint8Array(bytes.buffer) };
  return newColumn(type, values.length, validity, parts);
}
