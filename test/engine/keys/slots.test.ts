import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { passphrase } from "../../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../../src/engine/keys/raw-key.ts";
import { CorruptError, ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { silent } from "../../crash/silent.ts";
import { flipBit } from "../../repository/broken.ts";
import { remote } from "../../repository/verify-run.ts";
import { newDirectory } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";
import { key } from "./encrypted-place.ts";

async function newRepository(keys = [key()]) {
  const location = join(await newDirectory(), "repository");
  const repository = await Repository.init(location, { logger: silent, encryption: { keys } });
  const open = (given?: typeof keys) => Repository.open(location, { logger: silent, keys: given });
  const slotFiles = () =>
    readdirSync(join(location, "keys")).filter((name) => /^[0-9a-f]{16}\.json$/.test(name));
  return { location, repository, open, slotFiles };
}

const messageOf = (work: Promise<unknown>) =>
  work.then(
    () => "",
    (error: Error) => `${error.name}: ${error.message}`,
  );

test("a missing key, a wrong one and one of a kind without a slot are errors that name the slots", async () => {
  const { repository, open } = await newRepository();
  const [slot] = await repository.keys.list();
  expect(slot).toMatchObject({ kind: "raw", epoch: 1 });
  for (const given of [undefined, [], [key(8)], [passphrase("x")], [key(8), passphrase("x")]]) {
    const message = await messageOf(open(given));
    expect(message).toMatch(/^ValidationError: /);
    expect(message).toContain(`${slot?.id} (raw)`);
  }
  expect(await messageOf(open())).toContain("is encrypted: give a key");
  expect(await messageOf(open([key(8)]))).toContain("opens no slot");
  expect(await messageOf(open([passphrase("x")]))).toContain("of a kind that no slot has");
  expect((await open([key(8), key()])).id).toBe(repository.id);
});

test("a passphrase opens what it was made for", async () => {
  const { open } = await newRepository([passphrase("correct horse")]);
  await open([passphrase("correct horse")]);
  expect(await messageOf(open([passphrase("correct hors")]))).toContain("opens no slot");
});

test("lost and damaged slots are told as damage, and never is a new key made", async () => {
  const { location, open, slotFiles } = await newRepository();
  const [name = ""] = slotFiles();
  const path = join(location, "keys", name);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at += 23) {
    flipBit(path, at);
    await expect(open([key()]), `bit at ${at}`).rejects.toThrow(
      /damaged|cannot be|is encrypted|has format|opens/,
    );
    await expect(open([key()]), `bit at ${at}`).rejects.toMatchObject({
      name: expect.stringMatching(/^(Corrupt|Unsupported|Validation)Error$/),
    });
    writeFileSync(path, whole.subarray(0, at));
    await expect(open([key()]), `cut at ${at}`).rejects.toThrow(CorruptError);
    writeFileSync(path, whole);
  }
  await open([key()]);
  rmSync(path);
  const message = await messageOf(open([key()]));
  expect(message).toMatch(/^CorruptError: .*no intact key slot is left/);
  expect(slotFiles()).toEqual([]);
});

test("a slot of another repository opens nothing, and is named", async () => {
  const [one, other] = [await newRepository(), await newRepository()];
  const [name = ""] = one.slotFiles();
  rmSync(join(one.location, "keys", name));
  const [foreign = ""] = other.slotFiles();
  writeFileSync(join(one.location, "keys", foreign), readFileSync(join(other.location, "keys", foreign)));
  const message = await messageOf(one.open([key()]));
  expect(message).toMatch(/^CorruptError: /);
  expect(message).toContain(`keys/${foreign} is of another repository`);
});

test("a slot whose open part was changed is refused, also with a right checksum", async () => {
  const { location, open, slotFiles } = await newRepository();
  const [name = ""] = slotFiles();
  const path = join(location, "keys", name);
  const { encodeRecord } = await import("../../../src/fs/record.ts");
  const { body } = JSON.parse(readFileSync(path, "utf8"));
  for (const change of [
    { createdAt: "2020-01-01T00:00:00.000Z" },
    { fields: { ...body.fields, recipients: [] } },
    { seal: "" },
  ]) {
    writeFileSync(path, encodeRecord({ ...body, ...change }, 2));
    await expect(open([key()])).rejects.toThrow(CorruptError);
  }
});

test("a damaged slot beside a whole one is a warning", async () => {
  const { location, repository, open, slotFiles } = await newRepository();
  const [first = ""] = slotFiles();
  await repository.keys.add(key(8));
  flipBit(join(location, "keys", first), 100);
  await expect(open([key(8)])).resolves.toBeDefined();
});

test("a key that was added is at hand for a rotation", async () => {
  const { repository, open } = await newRepository();
  await repository.keys.add(key(8));
  await repository.keys.rotate();
  for (const one of [key(), key(8)]) await expect(open([one])).resolves.toBeDefined();
});

test("keys come and go; the last one stays", async () => {
  const { repository, open, slotFiles } = await newRepository();
  const [first] = await repository.keys.list();
  const second = await repository.keys.add(key(8));
  expect((await repository.keys.list()).map(({ id }) => id).sort()).toEqual([first?.id, second.id].sort());
  const other = await open([key(8)]);
  await other.keys.remove(first?.id ?? "");
  await expect(open([key()])).rejects.toThrow(ValidationError);
  await expect(other.keys.remove(second.id)).rejects.toThrow("is the last key slot");
  await expect(other.keys.remove("0123456789abcdef")).rejects.toThrow(second.id);
  expect(slotFiles()).toEqual([`${second.id}.json`]);
  await expect(open([key(8)])).resolves.toBeDefined();
});

test("a damaged slot can be removed", async () => {
  const { location, repository, slotFiles } = await newRepository();
  const [first = ""] = slotFiles();
  const second = await repository.keys.add(key(8));
  flipBit(join(location, "keys", first), 100);
  await repository.keys.remove(first.replace(".json", ""));
  expect(slotFiles()).toEqual([`${second.id}.json`]);
});

test("a key that is given for a repository that is not encrypted is refused: it may have been put in its place", async () => {
  const location = join(await newDirectory(), "repository");
  const repository = await Repository.init(location, { logger: silent });
  expect(await repository.keys.list()).toEqual([]);
  await expect(Repository.open(location, { logger: silent, keys: [key()] })).rejects.toThrow(
    "is not encrypted",
  );
  await expect(repository.keys.add(key())).rejects.toThrow("is not encrypted");
});

test("without its repository.json it is opened by its slots, and only read", async () => {
  const { location, repository, open } = await newRepository();
  rmSync(join(location, "repository.json"));
  mkdirSync(join(location, "blobs", "00"), { recursive: true });
  writeFileSync(join(location, "blobs", "00", "00".repeat(32)), "by this it is known for a repository");
  await expect(open([key(8)])).rejects.toThrow(ValidationError);
  const opened = await open([key()]);
  expect(await opened.list()).toEqual([]);
  expect(await opened.keys.list()).toHaveLength(1);
  expect(repository.id).toBeDefined();
});

test.each([
  ["in a local directory", (storage: LocalStorage): Storage => storage],
  ["elsewhere", remote],
])("one that loses its repository.json while it is open is not written to: %s", async (_where, through) => {
  const directory = await newDirectory();
  const [location, source] = [join(directory, "repository"), join(directory, "tree")];
  mkdirSync(source);
  writeFileSync(join(source, "a"), "a");
  const repository = await Repository.init(through(new LocalStorage(location)), {
    ...{ logger: silent, cache: false, audit: "all", encryption: { keys: [key()] } },
  });
  const { id } = await repository.backup({ source });
  const other = await Repository.init(join(directory, "other"), { logger: silent, audit: "off" });
  await other.backup({ source });
  const path = join(location, "repository.json");
  const mark = readFileSync(path, "utf8");
  for (const [code, spoil] of [
    ["CORRUPT", () => rmSync(path)],
    ["CORRUPT", () => writeFileSync(path, mark.slice(0, 40))],
    ["UNSUPPORTED", () => writeFileSync(path, mark.replace('"format": 2', '"format": 3'))],
  ] as const) {
    spoil();
    const before = filesBelow(location);
    for (const attempt of [
      () => repository.backup({ source }),
      () => repository.prune({ keepLast: 1, graceHours: 0 }),
      () => repository.pin(id),
      () => repository.delete(id),
      () => repository.keys.add(key(8)),
      () => repository.unlock({ dead: true }),
      () => other.copy(repository),
    ])
      await expect(attempt()).rejects.toMatchObject({ code });
    await repository.restore(id, { target: join(await newDirectory(), "back") });
    expect(filesBelow(location)).toEqual(before);
    writeFileSync(path, mark);
  }
  await repository.backup({ source });
});

test.each([
  [{ encryption: { keys: [] } }, ValidationError],
  [{ encryption: {} }, TypeError],
  [{ encryption: { keys: ["secret"] } }, TypeError],
  [{ encryption: { keys: [key()], other: 1 } }, ValidationError],
  [{ encryption: { keys: [{ kind: "raw", unwrap: async () => undefined }] } }, ValidationError],
  [{ keys: [key()] }, ValidationError],
])("options %j are refused, and nothing is made", async (options, kind) => {
  const directory = await newDirectory();
  const location = join(directory, "repository");
  await expect(Repository.init(location, { logger: silent, ...options } as never)).rejects.toThrow(kind);
  expect(filesBelow(directory)).toEqual([]);
});

test("where somebody else makes the repository at the same moment, no slot of the loser is left", async () => {
  const location = join(await newDirectory(), "repository");
  const make = (byte: number) =>
    Repository.init(location, { logger: silent, encryption: { keys: [rawKey(Buffer.alloc(32, byte))] } });
  const made = await Promise.allSettled([make(1), make(2)]);
  expect(made.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(readdirSync(join(location, "keys"))).toHaveLength(1);
});
