import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeLease, encodeLease } from "../../../src/engine/lease/lease-record.ts";
import { MARK_DOCUMENTS, type Mark } from "../../../src/engine/prune/mark.ts";
import { CorruptError, UnsupportedError } from "../../../src/errors.ts";
import { decodeRecord, encodeRecord } from "../../../src/fs/record.ts";
import { thisProcess } from "../../../src/fs/this-process.ts";
import { digestOf } from "../fixture.ts";

const decodeMark = (bytes: Uint8Array, name: string, place: string) =>
  MARK_DOCUMENTS.decode(Buffer.from(bytes), name, place) as Mark;

const numRuns = process.env["NIGHTLY"] === "1" ? 20_000 : 300;

const at = new Date("2026-11-05T12:34:56.789Z");
const lease = {
  kind: "shared",
  owner: thisProcess,
  since: at,
  renewedAt: at,
  renewEveryMs: 15_000,
  deadAfterMs: 3_600_000,
} as const;
const blobs = ["a", "b", "c"].map(digestOf);

const readers = {
  record: {
    document: encodeRecord({ kind: "x", id: 1 }),
    read: (bytes: Uint8Array) => decodeRecord(bytes, "here"),
  },
  lease: {
    document: encodeLease(lease),
    read: (bytes: Uint8Array) => decodeLease(bytes, { kind: "shared" }, "here"),
  },
  mark: {
    document: MARK_DOCUMENTS.encode({ createdAt: at, blobs }, "marks/m"),
    read: (bytes: Uint8Array) => decodeMark(bytes, "marks/m", "here"),
  },
};

/** Whether it was accepted; fails for any error but those that are promised. */
function accepted(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof UnsupportedError)) throw error;
    expect(error.message).toContain("here");
    return false;
  }
}

describe.each(Object.entries(readers))("a %s", (_name, { document, read }) => {
  const meaning = (bytes: Uint8Array) => JSON.stringify(JSON.parse(Buffer.from(bytes).toString()));

  test("that is cut anywhere is refused", () => {
    for (let length = 0; length < document.length - 2; length++)
      expect(accepted(() => read(document.subarray(0, length)))).toBe(false);
  });

  test("with a flip of any bit is refused, or says the same", () => {
    for (let bit = 0; bit < document.length * 8; bit++) {
      const flipped = Buffer.from(document);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      if (accepted(() => read(flipped))) expect(meaning(flipped)).toBe(meaning(document));
    }
  });

  test("that was edited anywhere is refused, or says the same", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: document.length }),
        fc.nat({ max: 20 }),
        fc.uint8Array({ maxLength: 20 }),
        (from, out, put) => {
          const edited = Buffer.concat([document.subarray(0, from), put, document.subarray(from + out)]);
          if (accepted(() => read(edited))) expect(meaning(edited)).toBe(meaning(document));
        },
      ),
      { numRuns },
    );
  });

  test("that is anything at all is refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(accepted(() => read(bytes))).toBe(false);
        },
      ),
      { numRuns },
    );
  });

  test("that is nested to any depth is refused, not a stack overflow", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    for (const text of [
      deep,
      `{"format":${deep}}`,
      `{"format":2,"body":{"kind":${deep}}}`,
      `{"format":2,"body":${deep}}`,
    ])
      expect(accepted(() => read(Buffer.from(text)))).toBe(false);
  });

  test("of a newer format is unsupported", () => {
    expect(() => read(Buffer.from('{"format":3}'))).toThrow(UnsupportedError);
  });
});

describe("records that somebody hostile has sealed", () => {
  test("any body comes back as it was, and nothing is inherited", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (body) => {
        const read = decodeRecord(encodeRecord(body), "here");
        expect(JSON.stringify(read)).toBe(JSON.stringify(body));
      }),
      { numRuns },
    );
    decodeRecord(
      encodeRecord(JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{}}}')),
      "here",
    );
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  const body = JSON.parse(encodeLease(lease).toString()).body as Record<string, unknown>;
  test.each([
    { kind: "exclusive" },
    { kind: "both" },
    { kind: null },
    { owner: null },
    { owner: "me" },
    { owner: { ...thisProcess, pid: -1 } },
    { owner: { ...thisProcess, pid: 0 } },
    { owner: { ...thisProcess, pid: 1.5 } },
    { owner: { ...thisProcess, pid: "1" } },
    { owner: { ...thisProcess, host: 1 } },
    { owner: { ...thisProcess, bootId: 1 } },
    { since: "now" },
    { renewedAt: 1e12 },
    { renewedAt: "2026-11-05" },
    { renewedAt: undefined },
  ])("a lease with %j is refused", (edit) => {
    expect(accepted(() => decodeLease(encodeRecord({ ...body, ...edit }), { kind: "shared" }, "here"))).toBe(
      false,
    );
  });

  test.each([
    { blobs: ["../../etc/passwd"] },
    { blobs: [digestOf("a").toUpperCase()] },
    { blobs: [`${digestOf("a")}\n`] },
    { blobs: [null] },
    { blobs: {} },
    { blobs: undefined },
    { createdAt: "never" },
    { createdAt: 0 },
  ])("a mark with %j is refused", (edit) => {
    const mark = { createdAt: at.toISOString(), blobs };
    expect(accepted(() => decodeMark(encodeRecord({ ...mark, ...edit }), "marks/m", "here"))).toBe(false);
  });

  test("any body whatever: a mark that is accepted names digests and a time", () => {
    const bodies = fc.record({
      createdAt: fc.oneof(fc.constant(at.toISOString()), fc.jsonValue()),
      blobs: fc.oneof(fc.array(fc.oneof(fc.constant(blobs[0]), fc.string(), fc.jsonValue())), fc.jsonValue()),
    });
    fc.assert(
      fc.property(bodies, (body) => {
        const bytes = encodeRecord(body);
        if (!accepted(() => decodeMark(bytes, "marks/m", "here"))) return;
        const mark = decodeMark(bytes, "marks/m", "here");
        expect(mark.blobs.every((sha256) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
        expect(Number.isNaN(mark.createdAt.getTime())).toBe(false);
      }),
      { numRuns },
    );
  });
});
