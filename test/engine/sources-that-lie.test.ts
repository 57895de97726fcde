import { expect, test } from "vitest";
import type { Capture, Entry, Source, SourceDetails } from "../../src/engine/source-contract.ts";
import { Repository } from "../../src/repository/repository.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";

/** A user's own source, of which a part may be wrong. */
function sourceOf(
  entries: readonly unknown[],
  { details = {}, capture = {}, source = {} }: { details?: unknown; capture?: object; source?: object } = {},
): Source {
  return {
    ...{ type: "own", id: "own-1", uri: "own:1" },
    ...source,
    capture: async (): Promise<Capture> => ({
      capturedAt: new Date(),
      async *entries() {
        yield* entries as Entry[];
      },
      finish: async () => details as SourceDetails,
      [Symbol.asyncDispose]: async () => undefined,
      ...capture,
    }),
  };
}

let reads = 0;
const text = (content: string) => ({
  async *open() {
    reads++;
    yield Buffer.from(content);
  },
});

const newRepository = async () => Repository.init(await newDirectory(), { logger: silent, audit: "off" });

test("a source says no more than it must; what a document does not have is not in it", async () => {
  const repository = await newRepository();
  const entries = [
    { path: "d", attributes: { directory: true, mode: 0o40755, inode: 7n }, ...text("") },
    { path: "d/a", stamp: "1", attributes: { mode: 0o100640, directory: false }, ...text("a") },
  ];
  for (const details of [undefined, {}, { rows: 2, details: { version: "1" } }]) {
    reads = 0;
    const { id, newBytes } = await repository.backup({ source: sourceOf(entries, { details }) });
    expect(await repository.get(id)).toMatchObject({ files: 2, bytes: 1 });
    expect([newBytes, reads]).toEqual(details === undefined ? [1, 1] : [0, 0]);
  }
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  expect(await repository.list()).toHaveLength(3);
});

test("a capture that cannot be released is a warning: its snapshot is there, and the next one works", async () => {
  const told: unknown[] = [];
  const logger = {
    ...silent,
    warn: (message: string, meta?: object) => void told.push({ message, ...meta }),
  };
  const repository = await Repository.init(await newDirectory(), { logger, audit: "off" });
  const stuck = { [Symbol.asyncDispose]: () => Promise.reject(new Error("still mounted")) };
  const source = sourceOf([{ path: "a", ...text("a") }], { capture: stuck });
  const { id } = await repository.backup({ source });
  expect(await repository.get("latest")).toMatchObject({ id, files: 1 });
  expect(told).toContainEqual(expect.objectContaining({ source: "own:1", reason: "still mounted" }));
  await repository.backup({ source: sourceOf([{ path: "a", ...text("b") }]) });
  expect(await repository.list()).toHaveLength(2);
});

test("a capture that is refused is released", async () => {
  let released = 0;
  const capture = { capturedAt: "today", [Symbol.asyncDispose]: async () => void released++ };
  const repository = await newRepository();
  await expect(repository.backup({ source: sourceOf([], { capture }) })).rejects.toThrow(TypeError);
  expect(released).toBe(1);
});

const whole = { path: "a", ...text("a") };
const attributes = (given: object) => sourceOf([{ ...whole, attributes: given }]);

test.each<[string, Source, object]>([
  ["an entry that is none", sourceOf([undefined]), TypeError],
  ["a path that is none", sourceOf([{ ...whole, path: 7 }]), TypeError],
  ["no bytes", sourceOf([{ path: "a" }]), TypeError],
  ["a negative size", sourceOf([{ ...whole, size: -1 }]), TypeError],
  ["a size of bigint", sourceOf([{ ...whole, size: 1n }]), TypeError],
  ["half a byte", sourceOf([{ ...whole, size: 0.5 }]), TypeError],
  ["too small a size", sourceOf([{ ...whole, size: 0 }]), { code: "CORRUPT" }],
  ["too large a size", sourceOf([{ ...whole, size: 2 ** 40 }]), { code: "CORRUPT" }],
  ["a stamp that is a number", sourceOf([{ ...whole, stamp: 5 }]), TypeError],
  ["attributes that are none", sourceOf([{ ...whole, attributes: null }]), TypeError],
  ["a mode of text", attributes({ mode: "644" }), TypeError],
  ["no time", attributes({ mtimeMs: Number.NaN }), TypeError],
  ["a link of bytes", attributes({ link: Buffer.from("a") }), TypeError],
  ["a path that climbs", sourceOf([{ ...whole, path: "../a" }]), { code: "UNSUPPORTED" }],
  ["one path twice", sourceOf([whole, { ...whole, path: "A" }]), { code: "UNSUPPORTED" }],
  ["no time of its capture", sourceOf([whole], { capture: { capturedAt: "today" } }), TypeError],
  ["a time that is none", sourceOf([whole], { capture: { capturedAt: new Date("?") } }), TypeError],
  ["no entries", sourceOf([whole], { capture: { entries: undefined } }), TypeError],
  ["no end", sourceOf([whole], { capture: { finish: undefined } }), TypeError],
  ["details of text", sourceOf([whole], { details: { details: "1.0" } }), TypeError],
  ["details that are a time", sourceOf([whole], { details: { about: new Date() } }), TypeError],
  ["numbers that JSON has not", sourceOf([whole], { details: { rows: 1n } }), TypeError],
  ["no type", sourceOf([whole], { source: { type: "" } }), TypeError],
  ["no address", sourceOf([whole], { source: { uri: undefined } }), TypeError],
  ["another kind's part", sourceOf([whole], { source: { type: "lancedb" } }), { code: "CORRUPT" }],
])("of a source that gives %s no snapshot is taken that nobody could read", async (_what, source, error) => {
  const repository = await newRepository();
  const backup = repository.backup({ source });
  if (error === TypeError) await expect(backup).rejects.toThrow(TypeError);
  else await expect(backup).rejects.toMatchObject(error);
  expect(filesBelow(repository.location).filter((name) => /^(snapshots|leases)/.test(name))).toEqual([]);
});
