import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { createMarker } from "../../src/engine/marker.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import { scrub } from "../../src/sources/lancedb/scrub/scrub-tables.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { blobsOf } from "./lance-parts.ts";
import { silent, takeSnapshot } from "./sound.ts";

const MS = process.env["NIGHTLY"] === "1" ? 60_000 : 5_000;

test("beside a writer that deletes, compacts and cleans up without pause nothing is taken for damage", async () => {
  const parent = await newDirectory();
  const uri = join(parent, "db");
  const storage = new LocalStorage(join(parent, "repository"));
  await createMarker(storage);
  const db = await connect(uri);
  onTestFinished(() => db.close());
  await db.createTable("main", [{ batch: -1, row: 0, text: "the first" }]);
  const child = fork(join(import.meta.dirname, "../support/hot-writer.ts"), [uri], {
    env: { ...process.env, LANCEDB_LOG: "error" },
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  const catalog = new LanceCatalog({ storage, logger: silent });
  let [scrubs, compared] = [0, 0];
  for (const end = Date.now() + MS; Date.now() < end; ) {
    await takeSnapshot(storage, uri);
    for (let time = 0; time < 3; time++) {
      const { damage, files } = await scrub({ blobs: blobsOf(storage), catalog }, uri, { heal: true });
      expect(damage).toEqual([]);
      scrubs++;
      compared += files;
    }
  }
  expect(child.exitCode).toBe(null);
  child.send("stop");
  const [commits] = (await once(child, "message")) as [number];
  console.info(`${scrubs} scrubs of ${compared} files beside ${commits} commits`);
  expect([scrubs > 5, compared > scrubs, commits > 20]).toEqual([true, true, true]);
});
