import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { Catalog } from "../../../src/engine/catalog/catalog.ts";
import { KeyRing } from "../../../src/engine/keys/key-ring.ts";
import { blobStoreOf } from "../../../src/engine/keys/ring-encryption.ts";
import { readMarker } from "../../../src/engine/marker.ts";
import { BackupError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { silent } from "../../crash/silent.ts";
import { nightly } from "../../crash/workshop.ts";
import { newDirectory } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";
import { PlainSource } from "../../support/plain-source.ts";
import { key } from "./encrypted-place.ts";

// A small repository of two epochs, all of whose objects are damaged in every way: in the nightly run at every bit.

/** Bits between two that are flipped: a prime, so that every bit of a byte has its turn. */
const STEP = nightly ? 1 : 337;

let location = "";
let objects: string[] = [];
let contents = new Map<string, string>();

beforeEach(async () => {
  const directory = await newDirectory();
  location = join(directory, "repository");
  const files = join(directory, "files");
  mkdirSync(files);
  writeFileSync(join(files, "a"), "the first of two files");
  writeFileSync(join(files, "b"), Buffer.alloc(3000, "the second, "));
  // The audit log is read by itself, and has tests of its own.
  const options = { logger: silent, audit: "off", encryption: { keys: [key()] } } as const;
  const repository = await Repository.init(location, options);
  await repository.backup({ source: new PlainSource(files) });
  await repository.keys.rotate();
  writeFileSync(join(files, "c"), "a third");
  await repository.backup({ source: new PlainSource(files) });
  objects = filesBelow(location);
  contents = await readAll();
  expect(contents.size).toBe(5);
});

/** Every file of every snapshot. */
async function readAll(): Promise<Map<string, string>> {
  const storage = new LocalStorage(location);
  const marker = await readMarker(storage);
  const first = marker?.encryption ?? { epoch: 1, check: undefined };
  const ring = await KeyRing.open({ storage, logger: silent }, { first, repository: marker?.id }, [key()]);
  const blobs = blobStoreOf(storage, marker, ring);
  const catalog = new Catalog({ storage, logger: silent, documents: blobs.documents });
  const found = new Map<string, string>();
  for (const id of await catalog.ids()) {
    const { parts } = await catalog.content(id);
    for (const entry of parts.flatMap(({ entries }) => entries)) {
      const content = await blobs.readWhole({ ...entry, table: "" });
      found.set(`${id}/${entry.path}`, content.toString("hex"));
    }
  }
  return found;
}

/** @param mayBeRead whether the right content may be read all the same. */
async function assertRefused(
  name: string,
  what: string,
  damaged: Uint8Array,
  mayBeRead = name.startsWith("keys/epoch-"), // it says nothing that slots do not say
): Promise<void> {
  const path = join(location, name);
  const whole = readFileSync(path);
  writeFileSync(path, damaged);
  const read = await readAll().catch((error: unknown) => error);
  if (mayBeRead && read instanceof Map) expect(read, `${name} ${what}`).toEqual(contents);
  else expect(read, `${name} ${what}`).toBeInstanceOf(BackupError);
  writeFileSync(path, whole);
}

test("a flipped bit of any object is refused, and never are other bytes read", async () => {
  for (const name of objects) {
    const whole = readFileSync(join(location, name));
    for (let bit = 0; bit < whole.length * 8; bit += STEP) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await assertRefused(name, `bit ${bit}`, damaged);
    }
  }
});

test("an object that is cut short, or longer than it was, is refused", async () => {
  for (const name of objects) {
    const whole = readFileSync(join(location, name));
    const step = nightly ? 1 : Math.max(1, Math.floor(whole.length / 12));
    for (let length = 0; length < whole.length - 1; length += step) {
      await assertRefused(name, `cut at ${length}`, whole.subarray(0, length));
    }
    // What is read of a blob is a range of it; verify reads the whole.
    const isRange = name.startsWith("blobs/") || name.startsWith("keys/epoch-");
    await assertRefused(name, "with a byte more", Buffer.concat([whole, Buffer.from([7])]), isRange);
    await assertRefused(name, "twice", Buffer.concat([whole, whole]), isRange);
  }
});

test("any two objects in each other's places are refused", async () => {
  for (const name of objects) {
    for (const other of objects) {
      const [one, two] = [name, other].map((each) => readFileSync(join(location, each)));
      if (name === other || !one || !two || one.equals(two)) continue;
      await assertRefused(name, `in place of ${other}`, two);
    }
  }
});
