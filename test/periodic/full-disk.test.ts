import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { Place, tableOf } from "./harness.ts";

/** Blocks of 1,024 bytes that a process may write into one file. */
const LIMIT = 1024;

// The write fails behind the caller's back, while the next rows are read.
test.runIf(process.platform === "linux").each(["json", "arrow"])(
  "a disk that takes no more is an error, and leaves no partial file (%s)",
  async (format) => {
    await using place = new Place();
    const ids = Array.from({ length: 4000 }, (_, id) => id);
    const texts = ids.map(() => randomBytes(500).toString("base64"));
    const rows = tableOf({ id: [new arrow.Int32(), ids], text: [new arrow.Utf8(), texts] });
    await (await place.db()).createTable("a", rows);
    const program = join(import.meta.dirname, "backup-once.ts");
    const command = `ulimit -f ${LIMIT}; exec "$0" "$@"`;
    const args = ["-c", command, process.execPath, program, place.uri, place.backupDir, format];
    const { stdout } = spawnSync("bash", args, { encoding: "utf8" });
    const { outcome, counts } = JSON.parse(stdout);
    expect(outcome).toMatchObject({ code: "IO", message: expect.stringContaining(place.backupDir) });
    expect(counts).toEqual([1]);
    expect(place.files()).toEqual([]);
    expect(await place.manager().backupFull()).toContain(place.backupDir);
  },
);
