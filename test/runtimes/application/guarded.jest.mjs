import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXPECTED, roundTrip } from "./round-trip.mjs";

test("the package under Jest, by import", async () => {
  const root = mkdtempSync(join(tmpdir(), "lancedb-backup-jest-"));
  try {
    expect(await roundTrip(root)).toEqual(EXPECTED);
  } finally {
    rmSync(root, { recursive: true });
  }
}, 60_000);
