import { readFileSync, writeFileSync } from "node:fs";
import { create, toBinary } from "@bufbuild/protobuf";
import { connect, Index } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { listManifests, parseManifest } from "../../src/lance/manifest.ts";
import { IndexSectionSchema, ManifestSchema } from "../../src/lance/proto/lance_pb.ts";
import { newDatabase } from "../support/database.ts";
import { newestManifest } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

/** Writes a version's manifest with each of its indices twice, as older LanceDB did where several made one at once. */
async function doubleIndices(dataset: string): Promise<void> {
  const path = newestManifest(dataset);
  const bytes = readFileSync(path);
  const version = (await listManifests(dataset))[0]?.version ?? 0;
  const { message, indices } = parseManifest(bytes, version, path);
  const framed = (part: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    return Buffer.concat([length, part]);
  };
  const footer = Buffer.from(bytes.subarray(bytes.length - 16));
  const start = Number(footer.readBigUInt64LE(0));
  const doubled = indices.flatMap((index) => [index, index]);
  const section = framed(toBinary(IndexSectionSchema, create(IndexSectionSchema, { indices: doubled })));
  const moved = { ...message, indexSection: BigInt(start) };
  footer.writeBigUInt64LE(BigInt(start + section.length), 0);
  const manifest = framed(toBinary(ManifestSchema, moved));
  writeFileSync(path, Buffer.concat([bytes.subarray(0, start), section, manifest, footer]));
}

test("an index that a manifest has twice is named, one in several parts is not", async () => {
  const { db, uri } = await newDatabase();
  const table = await makeSampleTable(db, "words");
  await table.createIndex("id", { config: Index.btree() });
  await table.add(sampleRows(100, 20));
  const found = async () => (await diagnose({ uri })).findings.filter(({ check }) => check === "index");
  expect(await found()).toEqual([]);
  await doubleIndices(`${uri}/words.lance`);
  const again = await connect(uri);
  expect(await (await again.openTable("words")).countRows()).toBe(59);
  again.close();
  expect(await found()).toEqual([
    expect.objectContaining({
      level: "warning",
      about: "words",
      details: expect.stringContaining('Index "id_idx" is in the manifest several times'),
      advice: expect.stringContaining('table.dropIndex("id_idx"), then table.createIndex("id"'),
    }),
  ]);
});
