import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { ImageReader } from "../../src/lance/image.ts";
import { listManifests, VERSIONS } from "../../src/lance/manifest.ts";
import { newDirectory } from "../support/database.ts";
import { sampleRows } from "../support/sample.ts";

describe("a history, newest first, lists each file with the first version that has it", () => {
  test.each(["is missing", "is cut short"])("also where a version between %s", async (what) => {
    const uri = await newDirectory();
    const db = await connect(uri);
    await db.createTable("main", sampleRows(0, 5));
    for (let n = 1; n < 5; n++) await db.createTable("main", sampleRows(n, 5), { mode: "overwrite" });
    const dataset = join(uri, "main.lance");
    const manifests = await listManifests(dataset);
    expect(manifests.length).toBe(5);
    const broken = [1, 3].map((index) => manifests[index]!);
    for (const { name } of broken) {
      const path = join(dataset, VERSIONS, name);
      if (what === "is missing") rmSync(path);
      else truncateSync(path, 100);
    }
    const reader = new ImageReader(dataset);
    for (const manifest of manifests) {
      if (broken.includes(manifest)) {
        await expect(reader.readUnseen(manifest)).rejects.toThrow();
        continue;
      }
      const { files, rows } = await reader.readUnseen(manifest);
      const whole = await new ImageReader(dataset).read(manifest);
      expect([files, rows]).toEqual([whole.files, whole.rows]);
    }
  });
});
