import { cpSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { canBe } from "../../src/lance/commit-kind.ts";
import { ImageReader } from "../../src/lance/image.ts";
import { listManifests } from "../../src/lance/manifest.ts";
import { sameContent, sameFields } from "../../src/lance/same-content.ts";
import { newDirectory } from "../support/database.ts";
import { namesOf, type OldVersion, oldDatabase, tablesOf } from "./fixture.ts";

// Old versions beside what the installed LanceDB makes of them when it commits.

async function headOf(uri: string, name: string) {
  const dataset = join(uri, `${name}.lance`);
  const [newest] = await listManifests(dataset);
  return (await new ImageReader(dataset).read(newest!)).parsed;
}

async function copyOf(version: OldVersion, name: string): Promise<{ uri: string; db: Connection }> {
  const uri = await newDirectory();
  cpSync(join(tablesOf(version), `${name}.lance`), join(uri, `${name}.lance`), { recursive: true });
  return { uri, db: await connect(uri) };
}

describe.each(["vectordb-0.4.20", "0.13.0", "0.22.3", "Lance 0.7, by hand"] as const)("%s", (version) => {
  test("a version that LanceDB restores is the same, though its bytes are not; with other rows or columns it is another", async () => {
    let otherwiseNoted = 0;
    for (const name of namesOf(version)) {
      const { uri, db } = await copyOf(version, name);
      const table = await db.openTable(name);
      const before = await headOf(uri, name);
      await table.checkout(await table.version());
      await table.restore();
      const restored = await headOf(uri, name);
      const said = ({ message }: typeof before) =>
        [message.fields, message.fragments].flat().map(String).join();
      otherwiseNoted += Number(said(before) !== said(restored));
      expect(sameContent(restored, before), name).toBe(true);
      await table.delete(name === "indexed" ? "amount = 1.25" : "id IN (5, 22)");
      const changed = await headOf(uri, name);
      expect(sameContent(changed, before), name).toBe((await table.countRows()) === 0);
      expect(sameFields(changed, before), name).toBe(true);
      await table.addColumns([{ name: "more", valueSql: "id" }]);
      expect(sameFields(await headOf(uri, name), before), name).toBe(false);
    }
    expect(otherwiseNoted).toBeGreaterThan(0);
  });

  test("an append is known by its rows, though the fragments before it are noted anew", async () => {
    const { uri, db } = await copyOf(version, "scalars");
    const before = await headOf(uri, "scalars");
    const table = await db.openTable("scalars");
    await table.add(await table.query().limit(3).toArrow());
    const after = await headOf(uri, "scalars");
    expect(canBe({ kind: "append", value: "3" }, after, before)).toBe(true);
    expect(canBe({ kind: "append", value: "4" }, after, before)).toBe(false);
  });

  test("a rollback leaves the indices as LanceDB's own restore does", async () => {
    const indicesOf = async (uri: string, name: string) =>
      (await headOf(uri, name)).indices.map(({ $unknown, files, name, uuid }) => ({
        name,
        uuid: String(uuid?.uuid),
        files: files.map(({ path }) => path).sort(),
        rest: $unknown?.map(({ no, data }) => `${no} ${Buffer.from(data).toString("hex")}`),
      }));
    for (const name of ["vectors", "indexed"]) {
      const own = await copyOf(version, name);
      const table = await own.db.openTable(name);
      await table.checkout(await table.version());
      await table.restore();

      const place = await oldDatabase(version, [name]);
      const work = place.manager.withBackup("lance-version", async (db) => {
        await (await db.openTable(name)).delete("amount = 2");
        throw new Error("the work fails");
      });
      await expect(work).rejects.toThrow("the work fails");
      const expected = await indicesOf(own.uri, name);
      expect(expected).toHaveLength(1);
      expect(await indicesOf(place.uri, name)).toEqual(expected);
    }
  });
});
