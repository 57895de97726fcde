import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { CorruptError, UnsupportedError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import type { LocalStorage } from "../../../src/storage/local-storage.ts";
import { silent } from "../../crash/silent.ts";
import { flipBit } from "../../repository/broken.ts";
import { remote } from "../../repository/verify-run.ts";
import { filesBelow } from "../../support/files.ts";
import { sampleRows } from "../../support/sample.ts";
import { snapshotOf } from "../../support/snapshot.ts";
import { key, newEncrypted } from "./encrypted-place.ts";

describe.each([
  ["in a local directory", (storage: LocalStorage) => storage as never],
  ["elsewhere", (storage: LocalStorage) => remote(storage) as never],
])("an encrypted repository %s", (_where, through) => {
  test("is backed up into, verified, restored, opened, compared and pruned, also by who opens it later", async () => {
    const { directory, uri, db, location, repository, open } = await newEncrypted({}, through);
    const before = await snapshotOf(db);
    const first = await repository.backup({ source: uri });
    expect(first.storedBytes).toBeGreaterThan(0);
    await (await db.openTable("main")).add(sampleRows(500, 20));
    const again = await open();
    const second = await again.backup({ source: uri });
    expect(second.newBytes).toBeLessThan(second.bytes);
    expect((await again.backup({ source: uri })).storedBytes).toBe(0);
    const checks = await again.verify(undefined, { restoreTest: true });
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    const target = join(directory, "restored");
    await again.restore(first.id, { target });
    const restored = await connect(target);
    expect(await snapshotOf(restored)).toEqual(before);
    restored.close();
    {
      // That it was opened is in the audit log.
      const kept = () => filesBelow(location).filter((path) => !path.startsWith("audit/"));
      const names = kept();
      await using opened = await again.openSnapshot(first.id);
      expect(kept()).toEqual(names); // what is opened can be read, and lies elsewhere
      expect(await snapshotOf(opened)).toEqual(before);
    }
    const { tables } = await again.diff(first.id, second.id, { rows: { main: "id" } });
    expect(tables.find(({ id }) => id === "main")?.rows).toMatchObject({ comparable: true, added: 20 });
    await again.prune({ keepLast: 1, graceHours: 0 });
    expect((await again.verify()).filter(({ ok }) => !ok)).toEqual([]);
    expect(filesBelow(join(location, "snapshots"))).toHaveLength(1);
    db.close();
  });

  test("tells nobody without a key a name, a path, a column, a text or a host", async () => {
    const { uri, db, location, repository } = await newEncrypted(
      { compression: { algorithm: "none" } },
      through,
    );
    await db.createTable("secret_table", [{ secret_column: "secret text of a row", id: 1 }]);
    await repository.backup({
      source: uri,
      name: "secret-name",
      tags: ["secret-tag"],
      description: "secret",
    });
    db.close();
    const words = [
      uri,
      hostname(),
      "secret",
      "main",
      "lance",
      "_versions",
      "manifest",
      'sha256":[',
      "tables",
    ];
    const own = new Set(["lancedb-backup repository"]);
    for (const name of filesBelow(location)) {
      let text = `${name}\n${readFileSync(join(location, name), "latin1")}`;
      for (const known of own) text = text.replaceAll(known, "");
      // Four random bytes are in some megabytes by chance.
      for (const word of words.filter(({ length }) => length > 5))
        expect(text.includes(word), `${word} in ${name}`).toBe(false);
    }
  });

  test("a flipped bit in any blob is told, and refused by a restore", async () => {
    const { directory, uri, db, location, repository } = await newEncrypted({}, through);
    const { id } = await repository.backup({ source: uri });
    db.close();
    for (const name of filesBelow(join(location, "blobs"))) {
      const path = join(location, "blobs", name);
      const content = readFileSync(path);
      for (const at of [8, 12, 20, 60, 90, content.length >> 1, content.length - 1]) {
        flipBit(path, at);
        const results = await repository.verify(id, { checks: ["integrity"] });
        expect(results.map(({ ok }) => ok)).toEqual([false]);
        expect(results[0]?.details).toContain(name.slice(-64));
        await expect(repository.restore(id, { target: join(directory, "no") })).rejects.toThrow(/./);
        writeFileSync(path, content);
      }
    }
  });
});

test("equal files have other names in every repository, and none is their digest", async () => {
  const one = await newEncrypted();
  const other = await Repository.init(join(one.directory, "other"), {
    logger: silent,
    encryption: { keys: [key()] },
  });
  const plain = await Repository.init(join(one.directory, "plain"), {
    logger: silent,
    compression: { algorithm: "zstd", level: 3 },
  });
  for (const repository of [one.repository, other, plain]) await repository.backup({ source: one.uri });
  one.db.close();
  const names = [one.location, other.location, plain.location].map((location) =>
    filesBelow(join(location, "blobs")),
  );
  expect(new Set(names.flat()).size).toBe(names.flat().length);
});

test("scrub heals a live file from an encrypted blob", async () => {
  const { uri, db, repository } = await newEncrypted();
  const before = await snapshotOf(db);
  db.close();
  await repository.backup({ source: uri });
  const file = filesBelow(uri).find((path) => /other\.lance\/data\//.test(path)) ?? "";
  flipBit(join(uri, file), 100);
  const { damage } = await repository.scrub(uri, { heal: true });
  expect(damage.map(({ mended }) => mended)).toEqual([true]);
  const healed = await connect(uri);
  expect(await snapshotOf(healed)).toEqual(before);
  healed.close();
});

test("a damaged blob is put into quarantine, and the next backup has all of its files", async () => {
  const { uri, db, location, repository, open } = await newEncrypted();
  await repository.backup({ source: uri });
  db.close();
  const [name = ""] = filesBelow(join(location, "blobs"));
  flipBit(join(location, "blobs", name), 200);
  const results = await repository.verify(undefined, { quarantine: true });
  expect(results.find(({ check }) => check === "quarantine")?.details).toContain("1 damaged blob");
  expect(filesBelow(join(location, "quarantine"))).toEqual([name.slice(-64)]);
  const again = await open();
  const { id } = await again.backup({ source: uri });
  expect((await again.verify(id)).filter(({ ok }) => !ok)).toEqual([]);
});

test("a link is refused, since blobs are no plain files", async () => {
  const { directory, uri, db, repository } = await newEncrypted();
  const { id } = await repository.backup({ source: uri });
  const options = { target: join(directory, "linked"), link: true };
  await expect(repository.restore(id, options)).rejects.toThrow(UnsupportedError);
  db.close();
});

test("a document is held to its snapshot: swapped, cut or of another repository it is damage", async () => {
  const { directory, uri, db, location, repository } = await newEncrypted();
  const ids = [(await repository.backup({ source: uri })).id, (await repository.backup({ source: uri })).id];
  const other = await Repository.init(join(directory, "other"), {
    logger: silent,
    encryption: { keys: [key()] },
  });
  await repository.copy(other);
  db.close();
  const [first = "", second = ""] = ids.map((id) => join(location, "snapshots", `${id}.json`));
  const whole = readFileSync(first);
  const heads = whole.indexOf("LANCBLOB", 8, "latin1");
  const wrong = {
    "that of another snapshot": readFileSync(second),
    "that of another repository": readFileSync(join(other.location, "snapshots", `${ids[0]}.json`)),
    "its first blob alone": whole.subarray(0, heads),
    "its second blob alone": whole.subarray(heads),
    "its blobs swapped": Buffer.concat([whole.subarray(heads), whole.subarray(0, heads)]),
    "its last blob twice": Buffer.concat([whole, whole.subarray(heads)]),
    nothing: Buffer.alloc(0),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    writeFileSync(first, bytes);
    await expect(repository.get(ids[0] ?? ""), what).rejects.toThrow(CorruptError);
  }
  writeFileSync(first, whole);
  expect((await repository.get(ids[0] ?? "")).id).toBe(ids[0]);
});
