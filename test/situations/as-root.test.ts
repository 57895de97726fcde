import { spawnSync } from "node:child_process";
import { chownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { diagnose, Repository } from "lancedb-backup";
import { expect, test } from "vitest";
import { newDirectory, recordingLogger } from "../support/database.ts";

const ROOT = 0;
const USER = 1000;

const isRoot = process.getuid?.() === ROOT;

test.runIf(isRoot).each([
  ["a backup by root", ["backup"]],
  ["guarded work by root", ["add"]],
  ["a rollback by root", ["fail"]],
  ["a death of root's, recovered by root", ["die", "recover"]],
  ["a restore in place by root", ["backup", "add", "in-place"]],
])("after %s the user of the database goes on as before", async (_, tasks) => {
  const place = await usersPlace();
  for (const task of tasks) place.as(ROOT, task);
  expect(foreignBelow(place.uri)).toEqual([]);
  expect(foreignBelow(place.repository)).toEqual([]);
  for (const task of ["fail", "backup", "in-place", "prune"]) place.as(USER, task);
});

test.runIf(isRoot)("what root restores into a user's directory is that user's", async () => {
  const place = await usersPlace();
  place.as(ROOT, "backup");
  place.as(ROOT, "restore");
  const restored = `${place.uri}-restored`;
  expect(lstatSync(restored).uid).toBe(USER);
  expect(foreignBelow(restored)).toEqual([]);
});

test.runIf(isRoot).each([ROOT, USER])(
  "a restore in place under umask 077 by user %i leaves the table readable to its user",
  async (uid) => {
    const place = await usersPlace();
    place.as(USER, "backup");
    place.as(USER, "add");
    place.as(uid, "in-place", "077");
    expect(foreignBelow(place.uri)).toEqual([]);
    place.as(USER, "add");
  },
);

test.runIf(isRoot)("doctor names what belongs to another user", async () => {
  const place = await usersPlace();
  place.as(USER, "backup");
  const [manifest = ""] = readdirSync(join(place.uri, "t.lance", "_versions"));
  const path = join(place.uri, "t.lance", "_versions", manifest);
  chownSync(path, ROOT, ROOT);
  const { findings } = await diagnose({ uri: place.uri, repository: place.repository });
  const owners = findings.filter(({ check }) => check === "owners");
  expect(owners).toHaveLength(1);
  expect(owners[0]?.details).toContain(path);
  expect(owners[0]?.advice).toContain("chown");
});

/** A database and a repository that belong to a user, in a directory of that user's. */
async function usersPlace() {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  await db.createTable("t", [{ id: 1 }, { id: 2 }]);
  await db.createNamespace(["ns"]);
  await db.createTable("u", [{ id: 1 }], ["ns"]);
  db.close();
  const repository = join(directory, "vault");
  await Repository.init(repository, { logger: recordingLogger().logger });
  chownSync(directory, USER, USER);
  for (const path of pathsBelow(directory)) chownSync(path, USER, USER);
  const as = (uid: number, task: string, umask = "022") => {
    const program = join(import.meta.dirname, "work-as.ts");
    const args = [program, String(uid), umask, uri, repository, task];
    const ran = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (task === "die") expect(ran.signal).toBe("SIGKILL");
    else expect({ task, uid, status: ran.status, stderr: ran.stderr }).toMatchObject({ status: 0 });
  };
  return { uri, repository, as };
}

function pathsBelow(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath, entry.name));
}

function foreignBelow(directory: string): string[] {
  return pathsBelow(directory).filter((path) => lstatSync(path).uid !== USER);
}
