import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { afterAll, expect, onTestFinished } from "vitest";
import { Catalog } from "../../../src/engine/catalog/catalog.ts";
import type { StoredContent } from "../../../src/engine/snapshot.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { newDirectory } from "../../support/database.ts";
import { makeSampleTable, sampleRows } from "../../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../../support/snapshot.ts";
import { silent } from "../sound.ts";
import { remote } from "../verify-run.ts";

/** A database, and a local repository with three snapshots of it: `first`, `second` and `third`. */
export interface Source {
  readonly directory: string;
  readonly uri: string;
  readonly db: Connection;
  readonly location: string;
  readonly repository: Repository;
  /** What the tables held in each snapshot. */
  readonly held: Readonly<Record<string, Record<string, TableSnapshot>>>;
}

/** A new one for each test, as a copy of what is made once; with `large` it has a file of more than a blob elsewhere holds. */
export async function newSource({ large = true }: { large?: boolean } = {}): Promise<Source> {
  made[`${large}`] ??= makeSource(large);
  const { directory: template, held } = (await made[`${large}`]) as Made;
  const directory = await newDirectory();
  execFileSync("cp", ["-a", `${template}/.`, directory]);
  const [uri, location] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  return {
    directory,
    uri,
    db,
    location,
    repository: await Repository.open(location, { logger: silent }),
    held,
  };
}

type Made = Pick<Source, "directory" | "held">;
const made: Record<string, Promise<Made>> = {};

afterAll(async () => {
  for (const source of Object.values(made)) rmSync((await source).directory, { recursive: true });
});

async function makeSource(large: boolean): Promise<Made> {
  const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-test-"));
  const [uri, location] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  const repository = await Repository.init(location, { logger: silent });
  const held: Record<string, Record<string, TableSnapshot>> = {};
  const take = async (name: string) => {
    await repository.backup({ source: uri, name, tags: [`${name}-tag`], description: `the ${name}` });
    held[name] = await snapshotOf(db);
  };
  const table = await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 10 });
  await take("first");
  await table.add(sampleRows(100, 20));
  const rows = Array.from({ length: large ? 12 : 1 }, (_, id) => ({
    id,
    bytes: randomBytes(large ? 1 << 20 : 1 << 16).toString("latin1"), // half as much again as UTF-8
  }));
  await db.createTable("large", rows);
  await take("second");
  await table.delete("id < 10");
  await take("third");
  db.close();
  return { directory, held };
}

/** An empty repository; not as a local one where `isRemote`. */
export async function newTarget(isRemote: boolean): Promise<{ location: string; repository: Repository }> {
  const location = join(await newDirectory(), "target");
  const local = new LocalStorage(location);
  const compression = { algorithm: "none" } as const; // elsewhere it is zstd unless told otherwise
  const storage = isRemote ? remote(local) : local;
  const repository = await Repository.init(storage, { logger: silent, compression });
  return { location, repository };
}

/** Every snapshot verifies, and what the source's snapshots held is what comes back. */
export async function assertWhole(
  repository: Repository,
  { held }: Pick<Source, "held">,
  names = Object.keys(held),
): Promise<void> {
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  for (const name of names) {
    const target = join(await newDirectory(), "back");
    await repository.restore(name, { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(held[name]);
    restored.close();
  }
}

/** The documents of a repository in a directory, the oldest first. */
export async function contentsOf(location: string): Promise<StoredContent[]> {
  const catalog = new Catalog({ storage: new LocalStorage(location), logger: silent });
  const contents = await Promise.all((await catalog.ids()).map((id) => catalog.content(id)));
  return contents.sort((a, b) => a.snapshot.createdAt.getTime() - b.snapshot.createdAt.getTime());
}
