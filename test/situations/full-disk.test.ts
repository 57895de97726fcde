import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { IoError, Repository } from "lancedb-backup";
import { expect, test } from "vitest";
import { run } from "../cli/cli.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { otherFileSystem } from "../support/other-file-system.ts";

test.each([
  ["a snapshot is deleted, then pruned without grace", { deleted: true, policy: { graceHours: 0 } }],
  ["a policy removes a snapshot, without grace", { deleted: false, policy: { keepLast: 1, graceHours: 0 } }],
])("on a repository's disk without a byte left, room is made: %s", async (_, { deleted, policy }) => {
  const place = await fullDisk();
  if (!place) return;
  const { vault, older } = place;
  if (deleted) await vault.delete(older);
  const report = await vault.prune(policy);
  expect(report.freed.blobs).toBeGreaterThan(0);
  expect(report.postponed).toBeUndefined();
  await wholeAndUsable(place);
});

test("on a full disk, what a prune found unneeded before is removed by the next, with nothing else to remove", async () => {
  const place = await fullDisk(async (vault, older) => {
    await vault.delete(older);
    await vault.prune(); // marks what nobody needs
    await new Promise((resolve) => setTimeout(resolve, 5)); // 3.6 ms are a millionth of an hour
  });
  if (!place) return;
  const report = await place.vault.prune({ graceHours: 1e-6 });
  expect(report.freed.blobs).toBeGreaterThan(0);
  await wholeAndUsable(place);
});

test("a backup that fills the repository's disk names that disk, and leaves what was there whole", async () => {
  const place = await fullDisk();
  if (!place) return;
  const { vault, uri, repository } = place;
  await (await connect(uri)).createTable("large", rows(20_000));
  const failed = await vault.backup({ source: uri }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(IoError);
  expect((failed as IoError).message).toMatch(/disk .*full/);
  expect((failed as IoError).message).toContain(repository);
  expect((failed as IoError).message).not.toContain(uri);
  const { stderr, code } = await run(["backup", uri, "--repo", repository]);
  expect(code).toBe(1);
  expect(stderr).toContain(repository);
  expect(stderr).not.toContain("Could not read");
  expect((await vault.verify()).every(({ ok }) => ok)).toBe(true);
});

interface FullDisk {
  readonly uri: string;
  readonly repository: string;
  readonly vault: Repository;
  /** Of two snapshots the older one, which has blobs that the newer has not. */
  readonly older: string;
}

/** A repository of two snapshots on a file system with no byte left; undefined where none can be mounted. */
async function fullDisk(
  before?: (vault: Repository, older: string) => Promise<void>,
): Promise<FullDisk | undefined> {
  const mount = await otherFileSystem();
  if (!mount) return undefined;
  const uri = join(await newDirectory(), "db");
  const db = await connect(uri);
  await db.createTable("t", rows(5_000));
  const repository = join(mount, "vault");
  const vault = await Repository.init(repository, { logger: recordingLogger().logger });
  const { id: older } = await vault.backup({ source: uri, history: "latest" });
  await db.createTable("t", rows(4_000), { mode: "overwrite" });
  await vault.backup({ source: uri, history: "latest" });
  await before?.(vault, older);
  fill(mount);
  return { uri, repository, vault, older };
}

function rows(count: number) {
  return Array.from({ length: count }, (_, id) => ({
    id,
    vector: [Math.random(), id],
    text: `${id}`.repeat(20),
  }));
}

/** Down to the last byte. */
function fill(mount: string): void {
  for (const size of [1 << 20, 1 << 16, 4096, 1]) {
    try {
      for (let index = 0; ; index++)
        writeFileSync(join(mount, `filler-${size}-${index}`), Buffer.alloc(size));
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
  }
  expect(execFileSync("df", ["--output=avail", mount], { encoding: "utf8" })).toMatch(/\n\s*0\s/);
}

/** What is left verifies, and the repository takes a snapshot again. */
async function wholeAndUsable({ vault, uri, repository }: FullDisk): Promise<void> {
  expect((await vault.verify()).every(({ ok }) => ok)).toBe(true);
  await vault.backup({ source: uri, name: "after", history: "latest" });
  expect((await vault.get("after")).name).toBe("after");
  expect(filesBelow(repository).filter((path) => path.endsWith(".tmp"))).toEqual([]);
}
