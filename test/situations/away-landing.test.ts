import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadBackup, restoreLatest } from "../../src/index.ts";
import { contentOf, Place, rowsOf } from "../periodic/harness.ts";
import { otherFileSystem } from "../support/other-file-system.ts";

async function placeWithFull() {
  const place = new Place();
  await (await place.db()).createTable("a", rowsOf([1, 2, 3]));
  const file = await place.manager().backupFull();
  return { place, file, content: await contentOf(place.uri) };
}

/** Restores in a process that is killed when its first table is there. */
function dieRestoring(backupDir: string, target: string): void {
  const index = join(import.meta.dirname, "../../dist/index.js");
  const program = `
    import fs from "node:fs";
    const { restoreLatest } = await import(${JSON.stringify(index)});
    const look = () => {
      const [partial] = fs.readdirSync(${JSON.stringify(dirname(target))}).filter((name) => name.includes(".partial-"));
      if (partial !== undefined) process.kill(process.pid, "SIGKILL");
      setImmediate(look);
    };
    look();
    await restoreLatest(${JSON.stringify(backupDir)}, ${JSON.stringify(target)});`;
  const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
  });
  if (signal !== "SIGKILL") throw new Error(`The process did not die: ${stderr}`);
}

describe("loadBackup and restoreLatest", () => {
  test("what a killed one left is swept by the next to the same target", async () => {
    const { place, content } = await placeWithFull();
    await using _place = place;
    const parent = place.fresh();
    mkdirSync(parent);
    const target = join(parent, "restored");
    dieRestoring(place.backupDir, target);
    expect(readdirSync(parent)).toEqual([expect.stringContaining("restored.partial-periodic-")]);
    await restoreLatest(place.backupDir, target);
    expect(readdirSync(parent)).toEqual(["restored"]);
    expect(await contentOf(target)).toEqual(content);
  });

  test("an empty directory keeps its mode", async () => {
    const { place, file, content } = await placeWithFull();
    await using _place = place;
    const [one, two] = [place.fresh(), place.fresh()];
    for (const target of [one, two]) mkdirSync(target, { mode: 0o700 });
    await restoreLatest(place.backupDir, one);
    (await loadBackup(file, two)).close();
    for (const target of [one, two]) {
      expect(statSync(target).mode & 0o777).toBe(0o700);
      expect(await contentOf(target)).toEqual(content);
    }
  });

  test("a mount point is filled from inside", async () => {
    const { place, file, content } = await placeWithFull();
    await using _place = place;
    for (const restore of [
      (target: string) => restoreLatest(place.backupDir, target),
      async (target: string) => (await loadBackup(file, target)).close(),
    ]) {
      const mount = await otherFileSystem();
      if (!mount) return;
      await restore(mount);
      expect(readdirSync(mount)).toEqual(["a.lance"]);
      expect(await contentOf(mount)).toEqual(content);
    }
  });

  test("a directory in one that cannot be written to is filled from inside, by another user", async () => {
    const { place, content } = await placeWithFull();
    await using _place = place;
    if (process.getuid?.() !== 0) return;
    const parent = place.fresh();
    const target = join(parent, "own");
    mkdirSync(target, { recursive: true });
    execFileSync("chown", ["65534", target]);
    execFileSync("chmod", ["-R", "a+rX", place.root]);
    chmodSync(parent, 0o755);
    const index = join(import.meta.dirname, "../../dist/index.js");
    const program = `const { restoreLatest } = await import(${JSON.stringify(index)});
      await restoreLatest(${JSON.stringify(place.backupDir)}, ${JSON.stringify(target)});`;
    const as = ["--reuid=65534", "--clear-groups", process.execPath, "--input-type=module", "-e", program];
    const { status, stderr } = spawnSync("setpriv", as, { encoding: "utf8" });
    if (status !== 0 && /EACCES|Cannot find module|permission|ENOENT/i.test(stderr)) return; // this checkout cannot be read by others
    expect(stderr.split("\n").filter((line) => /error/i.test(line))).toEqual([]);
    expect(readdirSync(parent)).toEqual([basename(target)]);
    expect(readdirSync(target)).toEqual(["a.lance"]);
    expect(await contentOf(target)).toEqual(content);
  });
});
