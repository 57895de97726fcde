import type { Data, DataType, Field, RecordBatch, Schema } from "apache-arrow";
import fc from "fast-check";
import { arrow } from "../../../src/arrow/arrow.ts";

const { DataType: Is } = arrow;

/** Integers, temporals and decimals are bigints, floats their bits, bytes hex, maps lists of pairs. */
export type Value = null | boolean | bigint | string | readonly Value[] | { readonly [name: string]: Value };

/** Every type that a table can have, nested a little. */
export const anyType: fc.Arbitrary<DataType> = fc.letrec<{
  type: DataType;
  flat: DataType;
  nested: DataType;
}>((tie) => ({
  flat: fc.constantFrom<DataType>(
    new arrow.Null(),
    new arrow.Bool(),
    ...[8, 16, 32, 64].flatMap((bits) => [new arrow.Int(true, bits as 8), new arrow.Int(false, bits as 8)]),
    ...[0, 1, 2].map((precision) => new arrow.Float(precision)),
    new arrow.Utf8(),
    new arrow.LargeUtf8(),
    new arrow.Binary(),
    new arrow.LargeBinary(),
    new arrow.FixedSizeBinary(3),
    new arrow.FixedSizeBinary(16),
    new arrow.Decimal(2, 10, 128),
    new arrow.Decimal(0, 38, 128),
    new arrow.Decimal(-3, 20, 128),
    new arrow.Decimal(40, 76, 256),
    new arrow.Date_(0),
    new arrow.Date_(1),
    new arrow.Time(0, 32),
    new arrow.Time(1, 32),
    new arrow.Time(2, 64),
    new arrow.Time(3, 64),
    ...[0, 1, 2, 3].flatMap((unit) => [
      new arrow.Timestamp(unit, null),
      new arrow.Timestamp(unit, "UTC"),
      new arrow.Timestamp(unit, "Europe/Berlin"),
      new arrow.Duration(unit),
    ]),
  ),
  nested: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("type").map((type) => new arrow.List(item("item", type))),
    fc
      .tuple(fc.integer({ min: 1, max: 4 }), tie("type"))
      .map(([size, type]) => new arrow.FixedSizeList(size, item("item", type))),
    fc
      .uniqueArray(fc.oneof(fc.constantFrom("a", "b c", "__proto__", 'ü\n"'), fc.string({ maxLength: 4 })), {
        minLength: 1,
        maxLength: 3,
      })
      .chain((names) =>
        fc
          .tuple(...names.map((name) => tie("type").map((type) => item(name, type))))
          .map((f) => new arrow.Struct(f)),
      ),
    fc
      .tuple(fc.constantFrom<DataType>(new arrow.Utf8(), new arrow.Int(true, 64)), tie("type"))
      .map(
        ([key, value]) =>
          new arrow.Map_(
            new arrow.Field(
              "entries",
              new arrow.Struct([new arrow.Field("key", key, false), item("value", value)]) as never,
              false,
            ),
          ),
      ),
    fc
      .tuple(
        fc.constantFrom<DataType>(
          new arrow.Utf8(),
          new arrow.LargeUtf8(),
          new arrow.Int(true, 64),
          new arrow.Binary(),
        ),
        fc.constantFrom(new arrow.Int8(), new arrow.Uint16(), new arrow.Int32()),
      )
      .map(([type, indices]) => new arrow.Dictionary(type, indices)),
  ),
  type: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 3, arbitrary: tie("flat") },
    tie("nested"),
  ),
})).type;

function item(name: string, type: DataType): Field {
  return new arrow.Field(name, type, true);
}

const special64 = [
  0x7ff8000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  1n << 63n,
  0x7ff8000000000001n,
  1n,
];
const special32 = [
  0x7fc00000n,
  0x7f800000n,
  0xff800000n,
  1n << 31n,
  0xffc00001n,
  1n,
  0x3dcccccdn,
  0x41200000n,
];
const special16 = [0x7e00n, 0x7c00n, 0xfc00n, 0x8000n, 0x7e01n, 1n, 0x3c00n, 0x2e66n];

/** Values of a type, null among them. */
export function anyValue(type: DataType): fc.Arbitrary<Value> {
  if (Is.isNull(type)) return fc.constant(null);
  return fc.option<Value, null>(present(type), { nil: null, freq: 5 });
}

function present(type: DataType): fc.Arbitrary<Value> {
  const bits = (width: number) => fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n });
  if (Is.isBool(type)) return fc.boolean();
  if (Is.isFloat(type)) {
    if (type.precision === 0) return fc.oneof(fc.constantFrom(...special16), bits(16));
    if (type.precision === 1) {
      const short = fc.integer({ min: -999999, max: 999999 }).map((n) => bitsOf32(n / 1000));
      return fc.oneof(fc.constantFrom(...special32), bits(32), short);
    }
    return fc.oneof(fc.constantFrom(...special64), bits(64), fc.double().map(bitsOf64));
  }
  if (Is.isUtf8(type) || Is.isLargeUtf8(type)) {
    return fc.oneof(
      fc.string({ maxLength: 8, unit: "binary" }),
      fc.string({ maxLength: 20 }),
      fc.constant('\n"\\\u2028😀\0'),
    );
  }
  if (Is.isBinary(type) || Is.isLargeBinary(type)) return fc.uint8Array({ maxLength: 9 }).map(hex);
  if (Is.isFixedSizeBinary(type)) {
    return fc.uint8Array({ minLength: type.byteWidth, maxLength: type.byteWidth }).map(hex);
  }
  if (Is.isList(type)) return fc.array(anyValue(type.children[0]!.type), { maxLength: 4 });
  if (Is.isFixedSizeList(type)) {
    return fc.array(anyValue(type.children[0]!.type), { minLength: type.listSize, maxLength: type.listSize });
  }
  if (Is.isStruct(type)) {
    return fc
      .tuple(...type.children.map((field) => anyValue(field.type)))
      .map((values) => struct(type.children.map((field, index) => [field.name, values[index]!])));
  }
  if (Is.isMap(type)) {
    const [key, value] = type.children[0]!.type.children as Field[];
    return fc.array(fc.tuple(present(key!.type), anyValue(value!.type)), {
      maxLength: 3,
    }) as fc.Arbitrary<Value>;
  }
  if (Is.isDictionary(type)) return present(type.dictionary);
  const width = widthOf(type);
  const integer =
    Is.isInt(type) && !type.isSigned
      ? bits(width)
      : fc.bigInt({ min: -(1n << BigInt(width - 1)), max: (1n << BigInt(width - 1)) - 1n });
  if (Is.isTimestamp(type)) {
    const ticks = 10n ** BigInt(3 * type.unit);
    const near = fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
      .map((d) => (BigInt(d.getTime()) * ticks) / 1000n + 1n);
    return fc.oneof(integer, near);
  }
  if (Is.isDate(type)) {
    return fc.oneof(
      integer,
      fc.integer({ min: -800000, max: 3000000 }).map((n) => BigInt(n) * (type.unit === 0 ? 1n : 86_400_000n)),
    );
  }
  if (Is.isTime(type))
    return fc.oneof(integer, fc.bigInt({ min: 0n, max: 86_400n * 1000n ** BigInt(type.unit) - 1n }));
  return fc.oneof(integer, fc.bigInt({ min: Is.isInt(type) && !type.isSigned ? 0n : -99n, max: 99n }));
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bitsOf32 = (value: number) => BigInt(new Uint32Array(Float32Array.of(value).buffer)[0]!);
const bitsOf64 = (value: number) => new BigUint64Array(Float64Array.of(value).buffer)[0]!;

function struct(members: readonly (readonly [string, Value])[]): Value {
  const made = Object.create(null);
  for (const [name, value] of members) made[name] = value;
  return made;
}

/** Bits of one value of a type of fixed width. */
function widthOf(type: DataType): number {
  if (Is.isInt(type) || Is.isDecimal(type) || Is.isTime(type)) return type.bitWidth;
  if (Is.isFloat(type)) return 16 << type.precision;
  if (Is.isDate(type)) return type.unit === 0 ? 32 : 64;
  return 64;
}

function data(
  type: DataType,
  length: number,
  nullCount: number,
  buffers: unknown[],
  children: Data[] = [],
  dictionary?: never,
) {
  return new arrow.Data(type, 0, length, nullCount, buffers as never, children, dictionary);
}

/** A column of values, by Arrow's columnar format and nothing of the package. */
function build(type: DataType, values: readonly Value[]): Data {
  const length = values.length;
  if (Is.isNull(type)) return data(type, length, length, []);
  const valid = new Uint8Array((length + 7) >> 3);
  values.forEach((value, row) => {
    if (value !== null) valid[row >> 3]! |= 1 << (row & 7);
  });
  const nullCount = values.filter((value) => value === null).length;
  const bitmap = nullCount > 0 ? valid : undefined;
  const make = (offsets: unknown, bytes: unknown, children: Data[] = [], dictionary?: never) =>
    data(type, length, nullCount, [offsets, bytes, bitmap], children, dictionary);
  if (Is.isBool(type)) {
    const bits = new Uint8Array((length + 7) >> 3);
    values.forEach((value, row) => {
      if (value === true) bits[row >> 3]! |= 1 << (row & 7);
    });
    return make(undefined, bits);
  }
  if (Is.isUtf8(type) || Is.isLargeUtf8(type) || Is.isBinary(type) || Is.isLargeBinary(type)) {
    const encoding = Is.isUtf8(type) || Is.isLargeUtf8(type) ? "utf8" : "hex";
    const parts = values.map((value) => Buffer.from((value ?? "") as string, encoding));
    const large = Is.isLargeUtf8(type) || Is.isLargeBinary(type);
    return make(
      offsetsOf(
        parts.map((part) => part.length),
        large,
      ),
      new Uint8Array(Buffer.concat(parts)),
    );
  }
  if (Is.isFixedSizeBinary(type)) {
    const parts = values.map((value) =>
      value === null ? Buffer.alloc(type.byteWidth, 7) : Buffer.from(value as string, "hex"),
    );
    return make(undefined, new Uint8Array(Buffer.concat(parts)));
  }
  if (Is.isList(type) || Is.isMap(type)) {
    const items = values.flatMap((value) => (value ?? []) as Value[]);
    const members = Is.isMap(type)
      ? items.map((pair) =>
          struct([
            ["key", (pair as Value[])[0]!],
            ["value", (pair as Value[])[1]!],
          ]),
        )
      : items;
    const lengths = values.map((value) => ((value ?? []) as Value[]).length);
    return make(offsetsOf(lengths, false), undefined, [build(type.children[0]!.type, members)]);
  }
  if (Is.isFixedSizeList(type)) {
    const nothing = Array<Value>(type.listSize).fill(null);
    return make(undefined, undefined, [
      build(
        type.children[0]!.type,
        values.flatMap((value) => (value ?? nothing) as Value[]),
      ),
    ]);
  }
  if (Is.isStruct(type)) {
    const children = type.children.map((field) =>
      build(
        field.type,
        values.map((value) => (value === null ? null : (value as Record<string, Value>)[field.name]!)),
      ),
    );
    return make(undefined, undefined, children);
  }
  if (Is.isDictionary(type)) {
    const entries = [...new Set(values.filter((value) => value !== null))];
    const indices = values.map((value) => (value === null ? 0 : entries.indexOf(value)));
    const half = entries.length >> 1;
    const pieces = entries.length > 3 ? [entries.slice(0, half), entries.slice(half)] : [entries];
    const dictionary = new arrow.Vector(pieces.map((piece) => build(type.dictionary, piece)));
    return make(undefined, type.indices.ArrayType.from(indices as never), [], dictionary as never);
  }
  const width = widthOf(type) / 8;
  const bytes = new Uint8Array(width * length);
  values.forEach((value, row) => {
    let rest = BigInt.asUintN(width * 8, (value ?? 0n) as bigint);
    for (let index = 0; index < width; index++, rest >>= 8n) bytes[row * width + index] = Number(rest & 255n);
  });
  return make(undefined, new type.ArrayType(bytes.buffer));
}

function offsetsOf(lengths: readonly number[], large: boolean) {
  const offsets = [0];
  for (const length of lengths) offsets.push(offsets.at(-1)! + length);
  return large ? BigInt64Array.from(offsets, BigInt) : Int32Array.from(offsets);
}

/** The value at `index`, read by Arrow's columnar format and nothing of the package. */
function valueAt(data: Data, index: number): Value {
  const { type } = data;
  const bit = (bits: Uint8Array, at: number) => (bits[at >> 3]! & (1 << (at & 7))) !== 0;
  if (Is.isNull(type)) return null;
  if (data.nullBitmap?.length && data.nullCount > 0 && !bit(data.nullBitmap, data.offset + index))
    return null;
  if (Is.isBool(type)) return bit(data.values, data.offset + index);
  const bytes =
    data.values && Buffer.from(data.values.buffer, data.values.byteOffset, data.values.byteLength);
  const range = () => [Number(data.valueOffsets[index]), Number(data.valueOffsets[index + 1])] as const;
  if (Is.isUtf8(type) || Is.isLargeUtf8(type)) return bytes!.toString("utf8", ...range());
  if (Is.isBinary(type) || Is.isLargeBinary(type)) return bytes!.toString("hex", ...range());
  if (Is.isFixedSizeBinary(type))
    return bytes!.toString("hex", index * type.byteWidth, (index + 1) * type.byteWidth);
  const many = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => valueAt(data.children[0]!, from + at));
  if (Is.isList(type)) return many(...range());
  if (Is.isMap(type))
    return many(...range()).map((entry) => [
      (entry as Record<string, Value>)["key"]!,
      (entry as Record<string, Value>)["value"]!,
    ]);
  if (Is.isFixedSizeList(type)) return many(index * type.listSize, (index + 1) * type.listSize);
  if (Is.isStruct(type))
    return struct(type.children.map((field, at) => [field.name, valueAt(data.children[at]!, index)]));
  if (Is.isDictionary(type)) {
    let at = Number(data.values[index]);
    for (const piece of data.dictionary!.data) {
      if (at < piece.length) return valueAt(piece, at);
      at -= piece.length;
    }
    throw new Error(`index ${at} is beyond the dictionary`);
  }
  const width = widthOf(type) / 8;
  let value = 0n;
  for (let at = width - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes![index * width + at]!);
  return Is.isFloat(type) || (Is.isInt(type) && !type.isSigned) ? value : BigInt.asIntN(width * 8, value);
}

export type Row = Record<string, Value>;

/** A batch of rows under a schema. */
export function batchOf(schema: Schema, rows: readonly Row[]): RecordBatch {
  const children = schema.fields.map((field) =>
    build(
      field.type,
      rows.map((row) => row[field.name] ?? null),
    ),
  );
  const whole = new arrow.Data(new arrow.Struct(schema.fields), 0, rows.length, 0, undefined, children);
  return new arrow.RecordBatch(schema, whole as never);
}

export function rowsOf(batches: readonly RecordBatch[]): Row[] {
  return batches.flatMap((batch) =>
    Array.from({ length: batch.numRows }, (_, index) =>
      Object.fromEntries(
        batch.schema.fields.map((field, at) => [field.name, valueAt(batch.data.children[at]!, index)]),
      ),
    ),
  );
}
