import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../src/repository/index.ts";
import { MAIN, run, runJson } from "../cli/cli.ts";
import { addRow, newPlace, type Place } from "../cli/fixture.ts";
import { onMachine } from "../support/other-machine.ts";

// Containers get another host name at every run; disks are mounted elsewhere, moved and copied. Which database it is
// must not hang on any of it.

const as = (place: Place, host: string) => ({ env: { ...place.env, ...onMachine({ host }) } });

/** In a namespace of its own, where a host name can really be another one. */
const CAN_NAME =
  spawnSync("unshare", [
    "--user",
    "--map-root-user",
    "--uts",
    "sh",
    "-c",
    "echo a >/proc/sys/kernel/hostname",
  ]).status === 0;

/** Takes a snapshot as a container does that has this name. */
function backUpInContainer({ database, env }: Place, host: string): Snapshot {
  const script = `echo ${host} >/proc/sys/kernel/hostname && exec "$@"`;
  return inNamespace("--uts", script, ["backup", database], env);
}

const backUp = (place: Place, host: string, database = place.database, ...options: string[]) =>
  runJson<Snapshot>(["backup", database, ...options], as(place, host));

/** By bind mounts in a namespace of its own; false where the system does not let us. */
const CAN_MOUNT = spawnSync("unshare", ["--user", "--map-root-user", "--mount", "true"]).status === 0;

/** Runs the command where the database is mounted read-only at another path. */
function runReadOnly({ database, env }: Place, at: string, ...words: string[]) {
  mkdirSync(at, { recursive: true });
  const script = `mount --bind '${database}' '${at}' && mount -o remount,bind,ro '${at}' && exec "$@"`;
  return inNamespace("--mount", script, words, env);
}

function inNamespace(
  kind: "--mount" | "--uts",
  script: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv,
) {
  const command = [process.execPath, MAIN, ...words, "--json"];
  const args = ["--user", "--map-root-user", kind, "sh", "-c", script, "sh", ...command];
  const { stdout, stderr, status } = spawnSync("unshare", args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`exit code ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as Snapshot;
}

test("five backups by five host names are of one database: retention, scrub, doctor and restore find them", async () => {
  const place = await newPlace();
  const taken: Snapshot[] = [];
  for (let run = 1; run <= 5; run++) {
    taken.push(CAN_NAME ? backUpInContainer(place, `c${run}`) : await backUp(place, `c${run}`));
    await addRow(place, 1000 + run);
  }
  expect(new Set(taken.map(({ source }) => source.id)).size).toBe(1);
  expect(taken.map(({ source }) => source.host)).toEqual(["c1", "c2", "c3", "c4", "c5"]);
  expect(taken[1]?.newFiles).toBeLessThan(taken[0]?.newFiles ?? 0); // what the one before has is known

  const pruned = await runJson<{ kept: unknown[]; removed: unknown[] }>(
    ["prune", "--keep-last", "2", "--yes"],
    as(place, "c6"),
  );
  expect([pruned.kept.length, pruned.removed.length]).toEqual([2, 3]);
  expect(await runJson(["scrub", place.database], as(place, "c7"))).toMatchObject({
    snapshot: taken[4]?.id,
    damage: [],
  });
  const doctor = await run(["doctor", place.database], as(place, "c8"));
  expect(doctor.stdout).toContain(`2 snapshots of ${place.database}`);
  const restored = await run(
    ["restore", "latest", place.database, "--in-place", "--yes"],
    as(place, "c9"), // no word of another source
  );
  expect(restored).toMatchObject({ code: 0 });
});

describe("a database is", () => {
  test("the same where it was moved, and through a symbolic link", async () => {
    const place = await newPlace();
    const first = await backUp(place, "a");
    const moved = join(place.directory, "elsewhere/db");
    mkdirSync(join(place.directory, "elsewhere"));
    renameSync(place.database, moved);
    const second = await backUp(place, "b", moved);
    const link = join(place.directory, "link");
    symlinkSync(moved, link);
    const third = await backUp(place, "c", link);
    expect([second.source.id, third.source.id]).toEqual([first.source.id, first.source.id]);
    expect([second.newFiles, third.newFiles]).toEqual([0, 0]);
  });

  test("another one where it was copied, and the original stays what it was", async () => {
    const place = await newPlace();
    const first = await backUp(place, "a");
    const copy = join(place.directory, "copy");
    cpSync(place.database, copy, { recursive: true });
    const second = await backUp(place, "a", copy);
    expect(second.source.id).not.toBe(first.source.id);
    expect((await backUp(place, "a", copy)).source.id).toBe(second.source.id);
    expect((await backUp(place, "a")).source.id).toBe(first.source.id);
  });

  test("what somebody says it is, from then on", async () => {
    const place = await newPlace();
    const first = await backUp(place, "a", place.database, "--source-id", "orders");
    const second = await backUp(place, "b");
    expect([first.source.id, second.source.id]).toEqual(["orders", "orders"]);
    const refused = await run(["backup", place.database, "--source-id", "two words"], as(place, "a"));
    expect(refused.code).toBe(2);
  });

  test.skipIf(!CAN_MOUNT)("the same on a read-only mount elsewhere, once it has an id", async () => {
    const place = await newPlace();
    const first = await backUp(place, "a");
    const second = runReadOnly(place, join(place.directory, "mnt"), "backup", join(place.directory, "mnt"));
    expect(second.source.id).toBe(first.source.id);
  });

  test.skipIf(!CAN_MOUNT)("told by its path alone, on every host, where nothing may be written", async () => {
    const place = await newPlace();
    rmSync(join(place.database, ".lancedb-backup"), { recursive: true, force: true });
    const at = join(place.directory, "mnt");
    const first = runReadOnly({ ...place, env: as(place, "a").env }, at, "backup", at);
    const second = runReadOnly({ ...place, env: as(place, "b").env }, at, "backup", at);
    expect(second.source).toEqual({ ...first.source, host: "b" });
    expect(second.newFiles).toBe(0);
    expect(readdirSync(place.database)).not.toContain(".lancedb-backup");
  });
});

test("two backups at once, the first ones of a database, are of one database", async () => {
  const place = await newPlace();
  const all = await Promise.all([backUp(place, "a"), backUp(place, "b"), backUp(place, "c")]);
  expect(new Set(all.map(({ source }) => source.id)).size).toBe(1);
});
