import assert from "node:assert/strict";
import { inspect } from "node:util";
import { ValidationError } from "../../errors.ts";
import {
  assertContent,
  assertNames,
  check,
  listAll,
  readAll,
  rejection,
  type StorageCheck,
  text,
} from "./storage-check.ts";

const HOSTILE = [
  "",
  "/",
  "/a",
  "a/",
  "a//b",
  ".",
  "..",
  "../a",
  "a/../b",
  "a/..",
  ".a",
  "a/.b",
  "a\\b",
  "a b",
  "C:a",
  "a\0b",
  "a\nb",
  "é",
  "a*",
  "~",
  "a?b",
  "-/..",
  "%2e%2e/a",
];

/** No names, and prefixes: all, and all of a folder. */
const PREFIXES = ["", "a/"];

const assertRejects = async (promise: Promise<unknown>, wanted: abstract new (...args: never[]) => Error) => {
  const error = await rejection(promise);
  assert.ok(error instanceof wanted, `a ${wanted.name}, not ${inspect(error)}`);
};

export const nameChecks: readonly StorageCheck[] = [
  ...HOSTILE.map((bad) =>
    check(
      `names: ${JSON.stringify(bad)} is refused by every call, and nothing is touched`,
      async (storage) => {
        const calls = [
          () => readAll(storage, bad),
          () => storage.write(bad, text("x")),
          () => storage.writeNew(bad, text("x")),
          () => storage.remove(bad),
          () => storage.stat(bad),
          ...(PREFIXES.includes(bad) ? [] : [() => listAll(storage, bad)]),
        ];
        for (const call of calls) await assertRejects(call(), ValidationError);
        await assertNames(storage, "", []);
      },
    ),
  ),

  check("names: one of more than 1000 letters is refused", (storage) =>
    assertRejects(storage.stat("x".repeat(1001)), ValidationError),
  ),

  check("names: what is no string is a TypeError", async (storage) => {
    for (const bad of [undefined, null, 1, ["a"], {}] as unknown as string[]) {
      await assertRejects(storage.stat(bad), TypeError);
      await assertRejects(storage.write(bad, text("x")), TypeError);
      await assertRejects(listAll(storage, bad), TypeError);
    }
  }),

  check("names: letters, digits, _ - . and slashes are taken as they are", async (storage) => {
    const names = ["_x/-y.json", "A/b", "a.b.c/D-_9", "snapshots/20261105T123456Z-1a2b3c4d.json"].sort();
    for (const name of names) await storage.write(name, text(name));
    await assertNames(storage, "", names);
    for (const name of names) await assertContent(storage, name, name);
  }),
];
