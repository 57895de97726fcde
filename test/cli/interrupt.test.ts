import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupManager } from "../../src/index.ts";
import { run, runJson, runOnTerminal, withoutEscapes } from "./cli.ts";
import { addRow, countRows, holdTable, newPlace, snapshotOf } from "./fixture.ts";

// Ctrl-C while a command waits for a table that another program holds: nothing is half-made, and it says so.

const CTRL_C = "\u0003";

test.each(["SIGINT", "SIGTERM"] as const)("backup stops at %s without a snapshot", async (signal) => {
  const place = await newPlace();
  const release = await holdTable(place);
  let sent = false;
  const { code, stdout, stderr } = await run(["backup", place.database, "--verbose"], {
    env: place.env,
    onOutput: (written, kill) => {
      if (sent || !written.includes("debug: begin")) return;
      sent = true;
      kill(signal);
    },
  });
  await release();
  expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  expect(stderr).toContain("Stopping. Press Ctrl-C again to leave at once.");
  expect(stderr).toContain("Interrupted. No snapshot was made. The next backup reuses what was stored.");
  expect(existsSync(join(place.repo, "snapshots")) ? readdirSync(join(place.repo, "snapshots")) : []).toEqual(
    [],
  );
  expect(await runJson(["backup", place.database], { env: place.env })).toMatchObject({ rows: 69 });
});

test("Ctrl-C at a terminal, also at a question", async () => {
  const place = await newPlace();
  const id = await snapshotOf(place);
  const release = await holdTable(place);
  const waiting = await runOnTerminal(["backup", place.database, "--verbose"], {
    env: place.env,
    type: [[" begin (command: backup", CTRL_C]],
  });
  await release();
  expect(waiting.code).toBe(130);
  expect(withoutEscapes(waiting.stdout)).toContain("Interrupted. No snapshot was made.");
  const asked = await runOnTerminal(["delete", id], { env: place.env, type: [["[y/N]", CTRL_C]] });
  expect(asked.code).toBe(130);
  expect(withoutEscapes(asked.stdout)).toContain("Interrupted. Nothing was done.");
  const ended = await runOnTerminal(["delete", id], { env: place.env, type: [["[y/N]", "\u0004"]] });
  expect(ended.code).toBe(1);
  expect(await runJson(["list"], { env: place.env })).toHaveLength(1);
});

test("restore in place stops before it has touched a table", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  await addRow(place);
  const release = await holdTable(place);
  const args = ["restore", "latest", place.database, "--in-place", "--yes"];
  let sent = false;
  const { code, stderr } = await run(args, {
    env: place.env,
    onOutput: (written, kill) => {
      if (sent || !written.includes("Waiting for")) return;
      sent = true;
      kill("SIGINT");
    },
  });
  await release();
  expect(code).toBe(130);
  expect(stderr).toContain("Interrupted. Tables that were already restored stay restored");
  expect(await countRows(place.database, "docs")).toBe(39);
});

test("what cannot stop half-way says so, and a second Ctrl-C leaves at once; the next run recovers", async () => {
  const place = await newPlace();
  const backupDir = join(place.directory, "backups");
  await using manager = new BackupManager({ uri: place.database, backupDir });
  const id = await manager.createBackup("lance-version");
  await addRow(place);
  const release = await holdTable(place);
  const args = ["undo", "restore", place.database, id, "--backup-dir", backupDir, "--yes"];
  let sent = 0;
  const { code, stderr } = await run(args, {
    onOutput: (written, kill) => {
      if (sent === 0 && written.includes("Waiting for")) {
        sent = 1;
        kill("SIGINT");
      } else if (sent === 1 && written.includes("Press Ctrl-C again")) {
        sent = 2;
        kill("SIGINT");
      }
    },
  });
  expect(code).toBe(130);
  expect(stderr).toContain("This cannot stop half-way and goes on to its end.");
  expect(stderr).toContain("Left at once.");
  await release();
  expect((await run(["recover", place.database])).code).toBe(0);
  expect((await run(["undo", "restore", place.database, id, "--backup-dir", backupDir, "--yes"])).code).toBe(
    0,
  );
  expect(await countRows(place.database, "words")).toBe(39);
});

test("a second Ctrl-C in a restore says what is left beside the target, and the next restore removes it", async () => {
  const place = await newPlace({ rows: 20_000 });
  await snapshotOf(place);
  const target = join(place.directory, "restored");
  const half = () => readdirSync(place.directory).some((name) => name.includes(".partial-"));
  let told = "";
  for (let attempt = 0; attempt < 20 && told === ""; attempt++) {
    rmSync(target, { recursive: true, force: true });
    let watch: NodeJS.Timeout | undefined;
    const { stderr } = await run(["restore", "latest", target, "--verbose"], {
      env: place.env,
      onOutput: (_, kill) => {
        watch ??= setInterval(() => {
          if (!half()) return;
          clearInterval(watch);
          kill("SIGINT");
          kill("SIGTERM"); // two of one kind may come as one
        }, 2);
      },
    });
    clearInterval(watch);
    if (stderr.includes("Left at once. Nothing was restored")) told = stderr;
  }
  expect(told).toContain(`.partial-… beside the target or in it. The next restore to ${target} removes it`);
  await runJson(["restore", "latest", target], { env: place.env });
  expect(readdirSync(place.directory).filter((name) => name.includes(".partial-"))).toEqual([]);
});
