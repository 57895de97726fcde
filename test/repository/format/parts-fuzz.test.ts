import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeSnapshot } from "../../../src/engine/format/decode-snapshot.ts";
import { encodeSnapshot } from "../../../src/engine/format/encode-snapshot.ts";
import { newSnapshotId } from "../../../src/engine/format/names.ts";
import type { PartContent, StoredContent, StoredSnapshot } from "../../../src/engine/snapshot.ts";
import { CorruptError, UnsupportedError } from "../../../src/errors.ts";
import { digestOf, makeSnapshot } from "../fixture.ts";
import { storedOf } from "../lance-parts.ts";
import { assertSound } from "./assert-sound.ts";
import { sealRaw } from "./seal.ts";

const numRuns = process.env["NIGHTLY"] === "1" ? 20_000 : 2000;
const MIB = 1 << 20;

const lance = storedOf(
  makeSnapshot({ at: 1.7e12, sourceId: "db-1", tables: { "t.lance": { "data/a": "a", "data/b": "b" } } }),
);
const [bundle, half] = [digestOf("bundle"), digestOf("half")];
const plain: PartContent = {
  source: { type: "plain", id: "plain-1", uri: "/files", host: "here" },
  files: 5,
  bytes: 16 * MIB + 30,
  about: { anything: [1, { of: null }] },
  details: {},
  blobs: new Map([
    [bundle, 30],
    [half, 16 * MIB],
  ]),
  entries: [
    { path: "a", size: 0, sha256: digestOf(""), attributes: { directory: true, mode: 0o755 } },
    { path: "a/1", size: 10, sha256: digestOf("1"), pieces: [{ blob: bundle, offset: 0, bytes: 10 }] },
    {
      path: "a/2",
      size: 20,
      sha256: digestOf("2"),
      stamp: "x",
      pieces: [{ blob: bundle, offset: 10, bytes: 20 }],
      attributes: { mtimeMs: 1.5, mode: 0o4755 },
    },
    { path: "b", size: 0, sha256: digestOf("../../up"), pieces: [], attributes: { link: "../../up" } },
    { path: "c", size: 16 * MIB, sha256: half, pieces: [{ blob: half, offset: 0, bytes: 16 * MIB }] },
  ],
};

function documentOf(...parts: readonly PartContent[]) {
  const { checksum, ...first } = lance.snapshot;
  const id = newSnapshotId(first.createdAt, parts, "abcd");
  const sum = (key: "files" | "bytes") => parts.reduce((total, part) => total + part[key], 0);
  const snapshot: StoredSnapshot = { ...first, id, files: sum("files"), bytes: sum("bytes"), parts };
  return { id, bytes: encodeSnapshot(snapshot, parts).bytes };
}

const [both, alone] = [documentOf(...lance.parts, plain), documentOf(plain)];
const decode = (bytes: Buffer, id = both.id): StoredContent => decodeSnapshot(bytes, id, "here");

function refusal(bytes: Buffer, id?: string): Error | undefined {
  try {
    decode(bytes, id);
    return undefined;
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
    expect(error.message).toContain("here");
    expect(error.message.length).toBeLessThan(2000);
    return error;
  }
}

type Json = Record<string, unknown>;
type Row = unknown[];
interface Raw {
  summary: Json & { parts: Json[] };
  parts: { source: Json; blobs: Row[]; entries: Row[] }[];
}

/** The document of two parts with an edit of the second. */
function edited(edit: (part: Raw["parts"][number], summary: Json, raw: Raw) => void): Buffer {
  const raw = JSON.parse(both.bytes.toString()) as Raw;
  edit(raw.parts[1]!, raw.summary.parts[1]!, raw);
  return sealRaw(raw as unknown as Json);
}

test("parts of several sources are read as they were", () => {
  const read = decode(both.bytes);
  expect(read.parts).toEqual([...lance.parts, plain]);
  assertSound(read, both.id);
  assertSound(decode(alone.bytes, alone.id), alone.id);
});

describe("a document of parts, pieces and attributes is refused", () => {
  test.each<[string, Parameters<typeof edited>[0]]>([
    ["with a directory that climbs", ({ entries }) => (entries[0]![0] = "../../a")],
    ["with a directory that is absolute", ({ entries }) => (entries[0]![0] = "/etc/cron.d")],
    ["with a directory whose case clashes", ({ entries }) => (entries[0]![0] = "A")],
    ["with a directory under the path of a file", ({ entries }) => (entries[0]![0] = "b")],
    ["with a directory twice", ({ entries }) => (entries[3] = entries[0]!)],
    ["with a directory inside of a file", ({ entries }) => (entries[0]![0] = "c/d")],
    ["with a directory that has bytes", ({ entries }) => (entries[2]![5] = { directory: true })],
    ["with a directory that is false", ({ entries }) => (entries[2]![5] = { directory: false })],
    ["with a link that is no text", ({ entries }) => (entries[3]![5] = { link: ["up"] })],
    ["with a mode of more than permissions", ({ entries }) => (entries[2]![5] = { mode: 0o104755 })],
    ["with a mode below zero", ({ entries }) => (entries[2]![5] = { mode: -1 })],
    ["with a time that is none", ({ entries }) => (entries[2]![5] = { mtimeMs: "now" })],
    ["with attributes that are a list", ({ entries }) => (entries[2]![5] = [])],
    ["with a stamp that is a number", ({ entries }) => (entries[2]![3] = 7)],
    ["with a path of 4,097 bytes", ({ entries }) => (entries[4]![0] = `${"é".repeat(2048)}e`)],
    ["with a path of 10 MB", ({ entries }) => (entries[4]![0] = "x".repeat(10_000_000))],
    ["with a path of 5,000,000 directories", ({ entries }) => (entries[4]![0] = `${"d/".repeat(5e6)}x`)],
    ["with a climbing path of 10 MB", ({ entries }) => (entries[4]![0] = `${"../".repeat(3e6)}x`)],
    ["with pieces that begin beyond their blob", ({ entries }) => (entries[1]![4] = [[0, 31, 10]])],
    ["with pieces of the blob after the last", ({ entries }) => (entries[1]![4] = [[2, 0, 10]])],
    ["with pieces of a blob below the first", ({ entries }) => (entries[1]![4] = [[-1, 0, 10]])],
    ["with pieces that begin below zero", ({ entries }) => (entries[1]![4] = [[0, -1, 10]])],
    ["with pieces that are no list", ({ entries }) => (entries[1]![4] = { 0: [0, 0, 10] })],
    [
      "with pieces whose sum is the size by a number below zero",
      ({ entries }) => {
        entries[1]![4] = [
          [0, 0, 20],
          [0, 0, -10],
        ];
      },
    ],
    ["with a blob of more than 16 MiB", ({ blobs }) => (blobs[1]![1] = 16 * MIB + 1)],
    [
      "with a blob of two sizes, by an entry that is the whole of it",
      ({ entries }) => (entries[4] = ["c", 16 * MIB, bundle, null]),
    ],
    [
      "with a blob of two sizes, in two parts",
      (_part, _summary, { parts }) => (parts[0]!.blobs = [[bundle, 31]]),
    ],
    ["with a part less than its summary has", (_part, _summary, { parts }) => parts.pop()],
    ["with a part more", (_part, _summary, { parts }) => parts.push(parts[1]!)],
    ["with its parts in another order", (_part, _summary, { parts }) => parts.reverse()],
    [
      "with two parts of one source",
      ({ source }, summary, { parts }) => {
        Object.assign(source, parts[0]!.source);
        Object.assign(summary, { source: parts[0]!.source });
      },
    ],
    ["with an `about` that is a list", (_part, summary) => (summary["about"] = [])],
    ["with an `about` that is nothing", (_part, summary) => (summary["about"] = null)],
    ["with `details` that are a text", (part) => Reflect.set(part, "details", "x")],
    ["with a host that is none", ({ source }) => (source["host"] = null)],
    ["with no parts", (_part, _summary, raw) => Object.assign(raw, { parts: [] })],
  ])("%s", (_name, edit) => {
    expect(refusal(edited(edit))).toBeInstanceOf(CorruptError);
  });

  test("under the id of one source, and the other way round", () => {
    expect(refusal(both.bytes, alone.id)).toBeInstanceOf(CorruptError);
    const raw = JSON.parse(both.bytes.toString());
    raw.summary.id = alone.id;
    expect(refusal(sealRaw(raw), alone.id)?.message).toContain("not one of its source");
  });
});

test.each([{}, { deep: { er: [] } }, JSON.parse('{"__proto__":{"polluted":1}}'), { toString: 1 }])(
  "of a kind that nobody knows, `about` and `details` may be %j",
  (any) => {
    const bytes = edited((part, summary) => {
      summary["about"] = any;
      Reflect.set(part, "details", any);
    });
    expect(JSON.stringify(decode(bytes).parts[1]?.about)).toBe(JSON.stringify(any));
    expect(({} as Json)["polluted"]).toBeUndefined();
  },
);

test("any one value put in place of any other, or moved: what is accepted keeps every rule", () => {
  const numbers = [null, true, -1, -0, 0, 1, 1.5, 10, 20, 30, 16 * MIB, 2 ** 53, 1e308];
  const others = ["", "..", "A", "a", "a/1", "b/x", "__proto__", bundle, half, digestOf("1"), [], {}];
  const hostile = fc.oneof(fc.constantFrom<unknown>(...numbers, ...others), fc.jsonValue());
  const edits = fc.array(fc.tuple(fc.nat(), hostile), { minLength: 1, maxLength: 3 });
  let kept = 0;
  fc.assert(
    fc.property(edits, (list) => {
      const raw = JSON.parse(both.bytes.toString());
      for (const [pick, value] of list) {
        const places: (() => void)[] = [];
        const visit = (node: unknown) => {
          if (typeof node !== "object" || node === null) return;
          for (const key of Object.keys(node)) {
            places.push(() => Reflect.set(node, key, value));
            visit(Reflect.get(node, key));
          }
        };
        visit(raw);
        places[pick % places.length]!();
      }
      const sealed = sealRaw(raw);
      if (refusal(sealed)) return;
      kept++;
      assertSound(decode(sealed), both.id);
    }),
    { numRuns },
  );
  expect(kept).toBeGreaterThan(0);
});

const fileNames = fc
  .array(fc.string({ unit: fc.constantFrom(..."abAB01é._-"), minLength: 1, maxLength: 3 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((names) => names.join("/"));
const files = fc.array(fc.tuple(fileNames, fc.boolean()), { maxLength: 8 });

test("any paths, of files and directories: what is accepted can stand side by side", () => {
  fc.assert(
    fc.property(files, (list) => {
      const entries = list.map(([path, isDirectory]) => ({
        ...{ path, size: 0, sha256: digestOf("") },
        ...(isDirectory && { attributes: { directory: true as const } }),
      }));
      const made = documentOf({ ...plain, entries, files: entries.length, bytes: 0, blobs: new Map() });
      if (refusal(made.bytes, made.id)) return;
      assertSound(decode(made.bytes, made.id), made.id);
    }),
    { numRuns },
  );
});
