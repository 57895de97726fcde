import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import {
  BackupManager,
  loadBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
  ValidationError,
} from "../../src/index.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";

/** A database with a table, a repository with a snapshot, periodic files, and links into all of them. */
async function place() {
  const directory = await newDirectory();
  const at = (name: string) => join(directory, name);
  const uri = at("db");
  const db = await connect(uri);
  await db.createTable("t", [{ id: 1 }]);
  db.close();
  const repository = await Repository.init(at("repository"), { logger: silent });
  await repository.backup({ source: uri });
  const periodic = new PeriodicBackupManager({ uri, backupDir: at("periodic"), logger: silent });
  const file = await periodic.backupFull();
  const link = (name: string, target: string) => {
    symlinkSync(target, at(name));
    return at(name);
  };
  return {
    at,
    uri,
    repository,
    file,
    intoTable: link("to-table", join(uri, "t.lance")),
    intoOurs: link("to-ours", join(uri, ".lancedb-backup")),
    intoDatabase: link("to-database", uri),
    intoRepository: link("to-repository", at("repository")),
  };
}

const below = (path: string) => join(path, "not", "there", "yet");

describe("by a symbolic link, the same as by the path itself", () => {
  test("nothing is restored into the repository, or into a table", async () => {
    const { uri, at, repository, file, ...links } = await place();
    for (const target of [links.intoRepository, links.intoTable, links.intoOurs, join(uri, "t.lance")].map(
      below,
    )) {
      await expect(repository.restore("latest", { target })).rejects.toThrow(ValidationError);
      expect(existsSync(target)).toBe(false);
    }
    for (const target of [links.intoTable, links.intoOurs, join(uri, "t.lance", "data")].map(below)) {
      await expect(restoreLatest(at("periodic"), target)).rejects.toThrow(/inside the database/);
      await expect(loadBackup(file, target)).rejects.toThrow(/inside the database/);
    }
    expect(existsSync(join(uri, "t.lance", "not"))).toBe(false);
  });

  test("no backup goes into a table, or into what is ours in a database", async () => {
    const { uri, at, ...links } = await place();
    const other = at("other");
    for (const backupDir of [
      links.intoTable,
      links.intoOurs,
      below(links.intoTable),
      join(uri, "t.lance", "x"),
    ]) {
      for (const database of [uri, other]) {
        expect(() => new BackupManager({ uri: database, backupDir })).toThrow(ValidationError);
        expect(() => new PeriodicBackupManager({ uri: database, backupDir })).toThrow(ValidationError);
      }
    }
    for (const backupDir of [links.intoDatabase, below(links.intoDatabase)])
      expect(() => new PeriodicBackupManager({ uri, backupDir })).toThrow(ValidationError);
    expect(() => new BackupManager({ uri, backupDir: links.intoDatabase })).toThrow(/own directory/);
    expect(() => new BackupManager({ uri: links.intoDatabase, backupDir: join(uri, "t.lance") })).toThrow(
      ValidationError,
    );
  });

  test("a repository in its database, and a database in the repository, are refused", async () => {
    const { uri, at, repository, ...links } = await place();
    await expect(Repository.init(below(links.intoTable))).rejects.toThrow(ValidationError);
    const inside = await Repository.init(join(links.intoDatabase, "repository"), { logger: silent });
    await expect(inside.backup({ source: uri })).rejects.toThrow(/lies in the database/);
    mkdirSync(at("repository/db"));
    const db = await connect(at("repository/db"));
    await db.createTable("t", [{ id: 1 }]);
    db.close();
    await expect(repository.backup({ source: join(links.intoRepository, "db") })).rejects.toThrow(
      /lies in the repository/,
    );
  });
});
