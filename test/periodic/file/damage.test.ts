import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { arrow } from "../../../src/arrow/arrow.ts";
import { CorruptError, IoError, ValidationError } from "../../../src/errors.ts";
import type { FileFormat } from "../../../src/periodic/file/backup-file.ts";
import { createBackupFile } from "../../../src/periodic/file/create-file.ts";
import { openBackupFile, peekBackupFile } from "../../../src/periodic/file/open-file.ts";
import { batchOf } from "./columns.ts";
import { delta, full, position, readAll, temporaryDirectory, writeAll } from "./files.ts";

const nightly = process.env["NIGHTLY"] === "1";
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(() => directory[Symbol.asyncDispose]());

const field = (name: string, type: InstanceType<typeof arrow.DataType>) => new arrow.Field(name, type, true);
const schema = new arrow.Schema([
  field("id", new arrow.Int64()),
  field("text", new arrow.Utf8()),
  field("vector", new arrow.FixedSizeList(2, field("item", new arrow.Float32()))),
  field("word", new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8())),
  field("tags", new arrow.List(field("item", new arrow.LargeUtf8()))),
]);
const head = {
  table: "t",
  form: "changes",
  schema,
  key: ["id"],
  from: position(1),
  to: position(2),
  indices: [],
} as const;

async function sample(format: FileFormat): Promise<Buffer> {
  const path = directory.file();
  const rows = [
    { id: 1n, text: "ä", vector: [1n, 2n], word: "w", tags: ["x", null] },
    { id: 2n, text: null, vector: null, word: null, tags: [] },
  ];
  const keys = new arrow.Schema([schema.fields[0]!]);
  await writeAll(path, format, delta, [
    { head, upserts: [batchOf(schema, rows)], deletes: [batchOf(keys, [{ id: 3n }])] },
  ]);
  return readFile(path);
}

async function openingOf(bytes: Uint8Array): Promise<unknown> {
  const path = directory.file();
  await writeFile(path, bytes);
  const error = await readAll(path).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof Error) expect(error.message).toContain(path);
  return error;
}

/** The file with a right checksum again, as somebody would make it who wants to be believed. */
function sealed(bytes: Buffer, format: FileFormat): Buffer {
  const digest = (length: number) => createHash("sha256").update(bytes.subarray(0, length)).digest();
  if (format === "arrow") return Buffer.concat([bytes.subarray(0, -32), digest(bytes.length - 32)]);
  return Buffer.concat([
    bytes.subarray(0, -67),
    Buffer.from(`${digest(bytes.length - 67).toString("hex")}"}\n`),
  ]);
}

describe.each(["json", "arrow"] as const)("a %s file", (format) => {
  test("is refused when cut at any byte, or made longer", async () => {
    const bytes = await sample(format);
    for (let length = 0; length < bytes.length; length++) {
      expect(await openingOf(bytes.subarray(0, length)), `cut at ${length}`).toBeInstanceOf(CorruptError);
    }
    expect(await openingOf(Buffer.concat([bytes, Buffer.from("\n")]))).toBeInstanceOf(CorruptError);
  });

  test("is refused with any byte changed", async () => {
    const bytes = await sample(format);
    for (let at = 0; at < bytes.length; at++) {
      // In the checksum a flip of 32 makes a capital of a digit.
      const flips = at > bytes.length - 70 ? [1, 32] : [1 << (at % 8)];
      for (const flip of nightly ? [1, 2, 4, 8, 16, 32, 64, 128] : flips) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        expect(await openingOf(changed), `byte ${at} by ${flip}`).toBeInstanceOf(CorruptError);
      }
    }
  });

  test("with any number changed and a right checksum is refused by name, or read without harm", async () => {
    const bytes = await sample(format);
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const end = bytes.length - (format === "arrow" ? 32 : 67);
    const before = process.memoryUsage().rss;
    for (let run = 0; run < (nightly ? 20_000 : 1_500); run++) {
      const changed = Buffer.from(bytes);
      const at = random(end);
      for (let index = at; index < Math.min(end, at + 1 + random(4)); index++) {
        changed[index] = [0xff, 0x7f, 0x80, 0, 0x39, random(256)][random(6)]!;
      }
      const error = await openingOf(sealed(changed, format));
      if (error !== undefined)
        expect(error, `seed ${seed}, run ${run}, byte ${at}`).toBeInstanceOf(CorruptError);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(500 * 1024 * 1024);
  });

  test("of a newer format is refused, and says so", async () => {
    const bytes = await sample(format);
    if (format === "arrow") bytes.writeUInt32LE(3, 8);
    else bytes.write('"format":3', bytes.indexOf('"format":2'));
    expect(await openingOf(sealed(bytes, format))).toMatchObject({
      code: "CORRUPT",
      message: expect.stringContaining("newer lancedb-backup"),
    });
  });

  test.each(["../x", "a/b", "..", "", "a$", "$", "a\\b", "t\0"])(
    "with the table %j is refused",
    async (name) => {
      const path = directory.file();
      await using writer = disposable(await createBackupFile(path, format, delta));
      await expect(writer.beginTable({ ...head, table: name })).rejects.toBeInstanceOf(ValidationError);
      // The same name in a file that claims to be right: as long as "t", so that all offsets stay.
      const bytes = await sample(format);
      const escaped = JSON.stringify(name).slice(1, -1);
      const text = bytes.toString("latin1").replaceAll('"t":{', `"${escaped}":{`);
      const error = await openingOf(resized(Buffer.from(text, "latin1"), format, escaped.length - 1));
      expect(error).toBeInstanceOf(CorruptError);
    },
  );

  test.each([
    ['"rows":2', '"rows":9'],
    ['"rows":2', '"rows":-'],
    ['"version":1', '"version":x'],
    ['"form":"changes"', '"form":"charges"'],
    ['"form":"changes"', '"form":"dropped"'],
    ['"key":["id"]', '"key":["ix"]'],
    ['"type":"delta"', '"type":"full" '],
  ])("with %s turned into %s is refused", async (good, bad) => {
    const bytes = await sample(format);
    const text = bytes.toString("latin1").replace(good, bad);
    expect(text).not.toBe(bytes.toString("latin1"));
    expect(await openingOf(sealed(Buffer.from(text, "latin1"), format))).toBeInstanceOf(CorruptError);
  });

  test("that says offsets and sizes beyond itself is refused", async () => {
    const bytes = await sample(format);
    const text = bytes.toString("latin1");
    for (const member of ["offset", "bytes"]) {
      const end = format === "arrow" ? -40 : -67; // what comes after may hold any byte
      const huge =
        text
          .slice(0, end)
          .replace(new RegExp(`"${member}":(\\d+)(?=[^{]*\\}[^{]*$)`), (found) =>
            found.replace(/\d+/, (digits) => "9".repeat(digits.length)),
          ) + text.slice(end);
      expect(huge).not.toBe(text);
      expect(await openingOf(sealed(Buffer.from(huge, "latin1"), format))).toBeInstanceOf(CorruptError);
    }
  });

  test("can be peeked at without being hashed", async () => {
    const bytes = await sample(format);
    const path = directory.file();
    await writeFile(path, bytes);
    await using file = await openBackupFile(path);
    expect(await peekBackupFile(path)).toEqual({
      format,
      head: delta,
      sha256: file.sha256,
      bytes: bytes.length,
    });
  });

  test("never takes the place of another", async () => {
    const path = directory.file();
    await writeFile(path, "mine");
    await expect(createBackupFile(path, format, full)).rejects.toBeInstanceOf(ValidationError);
    const later = directory.file();
    const writer = await createBackupFile(later, format, full);
    await writeFile(later, "mine");
    await expect(writer.finish()).rejects.toBeInstanceOf(ValidationError);
    expect(await readFile(later, "utf8")).toBe("mine");
    expect((await readdir(directory.path)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("that is aborted leaves nothing", async () => {
    const own = `${directory.path}/${randomUUID()}`;
    await mkdir(own);
    const writer = await createBackupFile(`${own}/a`, format, full);
    await writer.abort();
    await writer.abort();
    expect(await readdir(own)).toEqual([]);
  });

  test("is refused a head and rows that could not be read back", async () => {
    await expect(createBackupFile(directory.file(), format, { ...full, timestamp: "now" })).rejects.toThrow(
      ValidationError,
    );
    await using writer = disposable(await createBackupFile(directory.file(), format, delta));
    await expect(writer.beginTable({ ...head, form: "rows" })).rejects.toThrow(ValidationError);
    await expect(writer.beginTable({ ...head, key: [] })).rejects.toThrow(ValidationError);
    await writer.beginTable(head);
    const other = new arrow.Schema([field("id", new arrow.Int32())]);
    await expect(writer.write("deletes", batchOf(other, [{ id: 1n }]))).rejects.toThrow(/int32/);
  });
});

test("a row that no JSON reader could hold is refused by name", async () => {
  const blobs = new arrow.Schema([field("blob", new arrow.Binary())]);
  const values = new Uint8Array(210_000_000);
  const blob = new arrow.Data(blobs.fields[0]!.type, 0, 1, 0, [
    Int32Array.of(0, values.length),
    values,
  ] as never);
  const row = new arrow.Data(new arrow.Struct(blobs.fields), 0, 1, 0, undefined, [blob]);
  await using writer = disposable(await createBackupFile(directory.file(), "json", full));
  await writer.beginTable({ table: "t", form: "rows", schema: blobs, key: [], indices: [] });
  await expect(writer.write("upserts", new arrow.RecordBatch(blobs, row as never))).rejects.toThrow(
    /more than 256 MB/,
  );
});

describe("an arrow file", () => {
  const values = new arrow.Schema([
    field("list", new arrow.List(field("item", new arrow.Int64()))),
    field("vector", new arrow.FixedSizeList(3, field("item", new arrow.Int64()))),
  ]);
  const rows = [
    { list: [1n, null, 3n, 4n, 5n], vector: [1n, 2n, 3n] },
    { list: [6n, 7n], vector: [4n, 5n, 6n] },
  ];

  const long = (...numbers: bigint[]) => Buffer.from(BigInt64Array.from(numbers).buffer);
  const int = (...numbers: number[]) => Buffer.from(Int32Array.from(numbers).buffer);

  test.each([
    ["lists leave out an item", int(0, 5, 7), int(0, 5, 6)],
    ["the items of vectors lie on those of lists", long(80n, 48n), long(72n, 48n)],
  ])("is refused where %s", async (_what, good, bad) => {
    const path = directory.file();
    const head = { table: "t", form: "rows", schema: values, key: [], indices: [] } as const;
    await writeAll(path, "arrow", full, [{ head, upserts: [batchOf(values, rows)] }]);
    const bytes = await readFile(path);
    const at = bytes.indexOf(good);
    expect(at).toBeGreaterThan(0);
    bad.copy(bytes, at);
    expect(await openingOf(sealed(bytes, "arrow"))).toBeInstanceOf(CorruptError);
  });
});

test("what is no backup file, and what is no file, is refused", async () => {
  expect(await openingOf(Buffer.from('{"type":"full","tables":{}}'))).toBeInstanceOf(CorruptError);
  expect(await openingOf(Buffer.from("hello"))).toBeInstanceOf(CorruptError);
  await expect(openBackupFile(directory.file())).rejects.toBeInstanceOf(IoError);
  await expect(openBackupFile(directory.path)).rejects.toBeInstanceOf(CorruptError);
});

function disposable<T extends { abort(): Promise<void> }>(writer: T): T & AsyncDisposable {
  return Object.assign(writer, { [Symbol.asyncDispose]: () => writer.abort() });
}

/** Puts the numbers right after the index became longer or shorter by `by` bytes, and seals the file. */
function resized(bytes: Buffer, format: FileFormat, by: number): Buffer {
  if (format === "arrow") {
    const at = bytes.length - 40;
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) + BigInt(by), at);
    return sealed(bytes, format);
  }
  const [body = "", index = ""] = bytes.toString("latin1").split('\n"index":');
  const shifted = index.replace(
    /(?<=ts":\{|es":\{)"offset":(\d+)/g,
    (_, offset) => `"offset":${Number(offset) + by}`,
  );
  return sealed(Buffer.from(`${body}\n"index":${shifted}`, "latin1"), format);
}
