import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sealedDocuments } from "../../../src/engine/codec/document-codec.ts";
import { assertEachApart, PathsSeen } from "../../../src/engine/format/check-paths.ts";
import { decodeSnapshot, readSnapshot } from "../../../src/engine/format/decode-snapshot.ts";
import { encodeSnapshot } from "../../../src/engine/format/encode-snapshot.ts";
import { EntryGatherer } from "../../../src/engine/format/entry-lines.ts";
import { newSnapshotId } from "../../../src/engine/format/names.ts";
import type {
  PartContent,
  StoredContent,
  StoredEntry,
  StoredSnapshot,
} from "../../../src/engine/snapshot.ts";
import { CorruptError, UnsupportedError } from "../../../src/errors.ts";
import { digestOf } from "../fixture.ts";
import { sealText } from "./seal.ts";

const isNightly = process.env["NIGHTLY"] === "1";
const numRuns = isNightly ? 20_000 : 500;
const MIB = 1 << 20;

// Documents that are long are read line by line. What is true of them is tried on short ones.

const bundles = new Map([
  [digestOf("one"), MIB],
  [digestOf("two"), 2 * MIB],
]);
const [one, two] = [...bundles.keys()] as [string, string];

function partOf(id: string, entries: readonly StoredEntry[]): PartContent {
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  const source = { type: "plain", id, uri: "/files", host: "here" };
  return { source, files: entries.length, bytes, about: {}, details: { x: [1] }, blobs: bundles, entries };
}

const entries: StoredEntry[] = [
  { path: "a", size: 0, sha256: digestOf(""), pieces: [], attributes: { directory: true, mode: 0o755 } },
  { path: 'a/ä\n"]}', size: 10, sha256: digestOf("1"), pieces: [{ blob: two, offset: 5, bytes: 10 }] },
  { path: "a/b", size: 3, sha256: digestOf("2"), stamp: "],", attributes: { mtimeMs: 1.5, uid: 0 } },
  {
    path: "c",
    size: MIB + 1,
    sha256: digestOf("3"),
    pieces: [
      { blob: one, offset: 0, bytes: MIB },
      { blob: two, offset: 0, bytes: 1 },
    ],
  },
];
const parts = [partOf("first", entries), partOf("second", []), partOf("third", entries.slice(1))];

function documentOf(all: readonly PartContent[]): { id: string; bytes: Buffer } {
  const createdAt = new Date(1.7e12);
  const id = newSnapshotId(createdAt, all, "abcd");
  const sum = (key: "files" | "bytes") => all.reduce((total, part) => total + part[key], 0);
  const snapshot: StoredSnapshot = {
    ...{ id, name: "n", description: undefined, tags: ["t"], createdAt, durationMs: 1 },
    ...{ files: sum("files"), bytes: sum("bytes"), newFiles: 0, newBytes: 0, storedBytes: 0, parts: all },
    software: { lancedbBackup: "0", node: "24" },
  };
  return { id, bytes: encodeSnapshot(snapshot, all).bytes };
}

const { id: ID, bytes: DOCUMENT } = documentOf(parts);

function* inPieces(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

const byLines = (
  bytes: Buffer,
  length = bytes.length,
  options: { most?: number; chunk?: number | undefined } = {},
) => readSnapshot(inPieces(bytes, length), { id: ID, place: "here", long: 0, ...options });

/** Bytes of lines that are looked at together: each line alone, some, and all. */
const CHUNKS = [1, 100, 300, undefined];

const plainly = (content: StoredContent) => ({
  ...content,
  parts: content.parts.map((part) => ({ ...part, entries: [...part.entries] })),
});

async function outcome(read: () => StoredContent | Promise<StoredContent>) {
  try {
    return plainly(await read());
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
    expect(error.message).toContain("here");
    return undefined;
  }
}

test("what is read by lines, in pieces of any length, is what is read at once", async () => {
  const whole = decodeSnapshot(DOCUMENT, ID, "here");
  for (const length of [1, 2, 3, 66, 67, 68, 500, DOCUMENT.length]) {
    for (const chunk of CHUNKS)
      expect(plainly(await byLines(DOCUMENT, length, { chunk })), `${length} ${chunk}`).toEqual(whole);
  }
  expect(whole.parts[0]?.entries).toEqual(entries);
});

test("a document that is sealed is opened as it comes, and no more of it is asked for than is read", async () => {
  const key = { epoch: 1, key: Buffer.alloc(32, 7) };
  const { seal, pieces } = sealedDocuments(
    { current: key, find: async () => key.key },
    { algorithm: "zstd" },
  );
  const document = Buffer.concat([Buffer.from("first line\n"), Buffer.alloc(17 * MIB, "lines\n")]);
  const object = seal(document, "id");
  const step = 64;
  let [given, isClosed] = [0, false];
  function* inSteps() {
    try {
      for (; given < object.length; given += step) yield object.subarray(given, given + step);
    } finally {
      isClosed = true;
    }
  }
  const opened: Uint8Array[] = [];
  const asked: number[] = [];
  for await (const piece of pieces(inSteps(), "id", "place")) {
    opened.push(piece);
    asked.push(given);
  }
  expect(Buffer.concat(opened).equals(document)).toBe(true);
  expect(asked[0]).toBeLessThan(object.length / 2);
  expect(asked).toEqual(asked.toSorted((a, b) => a - b));
  [given, isClosed] = [0, false];
  for await (const _ of pieces(inSteps(), "id", "place")) break;
  expect([isClosed, given < object.length / 2]).toEqual([true, true]);
  for (const cut of [0, 10, object.length >> 1, object.length - 1]) {
    const all = readSnapshot(pieces([object.subarray(0, cut)], "id", "place"), { id: "id", place: "place" });
    await expect(all, `${cut}`).rejects.toThrow(CorruptError);
  }
});

test("the last line of a list may be longer than what is looked at together", async () => {
  const pieces = Array.from({ length: 10_000 }, (_, offset) => ({ blob: one, offset, bytes: 1 }));
  const long = { path: "d", size: pieces.length, sha256: digestOf("long"), pieces };
  const all = [partOf("first", [...entries, long]), partOf("second", [long])];
  const { id, bytes } = documentOf(all);
  const read = await readSnapshot(inPieces(bytes, 65_536), { id, place: "here", long: 0 });
  expect(plainly(read)).toEqual(decodeSnapshot(bytes, id, "here"));
  expect(read.parts[0]?.entries.at(-1)).toEqual(long);
});

test("a list of lines is an array to who reads it", async () => {
  const list = (await byLines(DOCUMENT)).parts[0]?.entries ?? [];
  expect(Array.isArray(list)).toBe(true);
  expect(list).toHaveLength(entries.length);
  expect([list[0], list.at(-1), list[4], list[-1 as number]]).toEqual([
    entries[0],
    entries[3],
    undefined,
    undefined,
  ]);
  expect(list.map(({ path }) => path)).toEqual(entries.map(({ path }) => path));
  expect(list.filter(({ size }) => size > 3)).toEqual([entries[1], entries[3]]);
  expect(list.find(({ path }) => path === "c")).toEqual(entries[3]);
  expect(list.toSorted((x, y) => y.size - x.size)[0]).toEqual(entries[3]);
  expect([...list.entries()][2]).toEqual([2, entries[2]]);
  expect(JSON.parse(JSON.stringify(list))).toEqual(entries);
  expect([list].flat()).toEqual(entries);
  expect(() => (list as StoredEntry[]).push(entries[0] as StoredEntry)).toThrow(TypeError);
});

test("entries that a backup gathers as lines make the same document", () => {
  const gathered = parts.map((part) => {
    const gatherer = new EntryGatherer(part.entries.length, 0);
    for (const entry of part.entries) gatherer.add(entry, (blob) => bundles.get(blob) ?? 0);
    return { ...part, entries: gatherer.list() };
  });
  expect([...(gathered[0]?.entries ?? [])]).toEqual(entries);
  const again = (all: readonly PartContent[]) => plainly(decodeSnapshot(documentOf(all).bytes, ID, "here"));
  const entriesOf = ({ parts }: Pick<StoredContent, "parts">) => parts.map((part) => part.entries);
  expect(entriesOf(again(gathered))).toEqual(entriesOf({ parts })); // blobs have other numbers: lines are made anew
  const inOrder = gathered.map((part) => ({ ...part, blobs: new Map([...bundles].reverse()) }));
  expect(entriesOf(again(inOrder))).toEqual(entriesOf({ parts }));
});

describe("read by lines, too", () => {
  test("other lines than those of the format are refused, wherever they lie", async () => {
    const text = DOCUMENT.subarray(0, -67).toString();
    for (const other of [text.replaceAll("\n", "\r\n"), text.replaceAll(/,\n\[/g, "\n,[")]) {
      const bytes = sealText(other);
      decodeSnapshot(bytes, ID, "here");
      for (const chunk of CHUNKS)
        expect(await outcome(() => byLines(bytes, 100, { chunk })), `${chunk}`).toBeUndefined();
    }
  });

  test("a document that is cut anywhere, or has more bytes than one can have, is refused", async () => {
    for (let length = 0; length < DOCUMENT.length; length += isNightly ? 1 : 7) {
      expect(await outcome(() => byLines(DOCUMENT.subarray(0, length), 100))).toBeUndefined();
    }
    await expect(byLines(DOCUMENT, 100, { most: DOCUMENT.length - 1 })).rejects.toThrow("has more than");
  });

  test("a flip of any bit is refused", async () => {
    for (let bit = 0; bit < DOCUMENT.length * 8; bit += isNightly ? 1 : 43) {
      const flipped = Buffer.from(DOCUMENT);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(await outcome(() => byLines(flipped, 100))).toBeUndefined();
    }
  });

  test("of what somebody hostile has sealed nothing passes that is refused as a whole, or is another", async () => {
    const lines = DOCUMENT.subarray(0, -67).toString().split("\n");
    const place = fc.nat({ max: lines.length - 1 });
    const edit = fc.oneof(
      fc.record({ remove: place }),
      fc.record({ repeat: place, to: place }),
      fc.record({ swap: place, to: place }),
      fc.record({
        put: place,
        text: fc.constantFrom("", "]},", "]}", '],"entries":[', "null,", '["x",0]', "},{"),
      }),
      fc.record({
        at: fc.nat({ max: DOCUMENT.length }),
        out: fc.nat({ max: 3 }),
        put: fc.constantFrom("", ",", "\n", "1", "]", '"', " "),
      }),
    );
    let passed = 0;
    await fc.assert(
      fc.asyncProperty(edit, fc.constantFrom(...CHUNKS), async (change, chunk) => {
        const edited = [...lines];
        if ("remove" in change) edited.splice(change.remove, 1);
        else if ("repeat" in change) edited.splice(change.to, 0, lines[change.repeat] as string);
        else if ("swap" in change) {
          [edited[change.swap], edited[change.to]] = [
            lines[change.to] as string,
            lines[change.swap] as string,
          ];
        } else if ("text" in change) edited.splice(change.put, 0, change.text);
        let body = edited.join("\n");
        if ("at" in change) body = body.slice(0, change.at) + change.put + body.slice(change.at + change.out);
        const bytes = sealText(body);
        const found = await outcome(() => byLines(bytes, 100, { chunk }));
        if (!found) return;
        passed++;
        expect(found).toEqual(plainly(decodeSnapshot(bytes, ID, "here")));
      }),
      { numRuns },
    );
    expect(passed).toBeGreaterThan(0); // some edits change nothing that counts
  });

  test("what the whole reader refuses of an entry, a blob, a sum or a source is refused", async () => {
    const text = DOCUMENT.subarray(0, -67).toString();
    const edits: [string | RegExp, string][] = [
      ['["a/b",3', '["a/../b",3'],
      ['["a/b",3', '["A",3'],
      ['["a/b",3', '["c",3'],
      ['["a/b",3', '["a/b",4'],
      ['["a/b",3', '["c/d",3'],
      [/\[\[1,5,10\]\]/g, "[[1,5,11]]"],
      [/\[\[1,5,10\]\]/g, "[[2,5,10]]"],
      [`["${one}",1048576]`, `["${one}",1048577]`],
      [`["${one}",1048576]`, `["${two}",1048576]`],
      ['"id":"third"', '"id":"fourth"'],
      ['"details":{"x":[1]}', '"details":[]'],
      ['"directory":true', '"directory":1'],
      ["]\n],", "],\n],"],
      ["]\n]}", "],\n]}"],
      ['"blobs":[\n', '"blobs":[],"my\\"blobs":[\n'],
      ['"parts":[\n', '"parts":[],"my\\"parts":[\n'],
    ];
    for (const [from, to] of edits) {
      const bytes = sealText(text.replace(from, to));
      expect(bytes.equals(DOCUMENT)).toBe(false);
      expect(await outcome(() => decodeSnapshot(bytes, ID, "here"))).toBeUndefined();
      for (const chunk of CHUNKS)
        expect(await outcome(() => byLines(bytes, 100, { chunk })), `${from} ${to} ${chunk}`).toBeUndefined();
    }
  });
});

test("fingerprints of paths say that they may clash wherever they do", () => {
  const name = fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom(..."aAbBäÄe\u0301é") });
  const path = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/")),
    isDirectory: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(path, { maxLength: 6 }), (paths) => {
      const seen = new PathsSeen();
      for (const each of paths) seen.add(each);
      let clashes = false;
      try {
        assertEachApart(paths, "here");
      } catch {
        clashes = true;
      }
      expect(seen.mayClash()).toBe(clashes); // 52 bits: by chance never
    }),
    { numRuns },
  );
});

test.runIf(isNightly)("a document of 300,000 files is read and walked in a heap of 64 MB", () => {
  const program = `
    import { createHash } from "node:crypto";
    import { readSnapshot } from "./src/engine/format/decode-snapshot.ts";
    const sha256 = "ab".repeat(32), n = 300_000, source = { type: "plain", id: "x", uri: "/", host: "h" };
    const { newSnapshotId } = await import("./src/engine/format/names.ts");
    const id = newSnapshotId(new Date(0), [{ source }], "abcd");
    const summary = { id, tags: [], createdAt: new Date(0).toISOString(), durationMs: 1, files: n, bytes: n, newFiles: 0, newBytes: 0,
      storedBytes: 0, parts: [{ source, files: n, bytes: n, about: {} }], software: { lancedbBackup: "0", node: "24" } };
    function* document() {
      const hash = createHash("sha256");
      const put = (text) => { hash.update(text); return Buffer.from(text); };
      yield put(JSON.stringify({ format: 2, summary, parts: [] }).slice(0, -2) + "\\n");
      yield put(JSON.stringify({ source, details: {}, blobs: [] }).slice(0, -2) + '\\n],"entries":[\\n');
      for (let i = 0; i < n; i++) yield put(JSON.stringify(["directory/file-" + i, 1, sha256, "stamp:" + i]) + (i < n - 1 ? ",\\n" : "\\n"));
      yield put(']}\\n],"sha256":"');
      yield Buffer.from(hash.digest("hex") + '"}\\n');
    }
    const { parts } = await readSnapshot(document(), { id, place: "here" });
    let count = 0;
    for (const { size } of parts[0].entries) count += size;
    console.log(count);
  `;
  const flags = ["--max-old-space-size=64", "--input-type=module", "--eval", program];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: "utf8" });
  expect(stderr).not.toContain("heap out of memory");
  expect(stdout).toBe("300000\n");
});
