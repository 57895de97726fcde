import { truncateSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { beforeEach, describe, expect, test } from "vitest";
import type { SnapshotDetails } from "../../src/repository/index.ts";
import { run, runJson } from "../cli/cli.ts";
import { newDirectory } from "../support/database.ts";

// One repository for several databases, each backed up under the same name: an answer about another one is a wrong answer.

interface Place {
  readonly directory: string;
  readonly vault: string;
  readonly repository: Repository;
  readonly orders: string;
  readonly users: string;
  /** The newer one is that of `users`. */
  readonly taken: { readonly orders: SnapshotDetails; readonly users: SnapshotDetails };
}

let place: Place;

async function makeDatabase(uri: string, table: string, rows: number): Promise<void> {
  const db = await connect(uri);
  await db.createTable(
    table,
    Array.from({ length: rows }, (_, id) => ({ id })),
  );
  db.close();
}

beforeEach(async () => {
  const directory = await newDirectory();
  const vault = join(directory, "vault");
  const [orders, users] = [join(directory, "orders"), join(directory, "users")];
  await makeDatabase(orders, "orders", 3);
  await makeDatabase(users, "users", 5);
  const repository = await Repository.init(vault);
  const taken = {
    orders: await repository.backup({ source: orders, name: "nightly" }),
    users: await repository.backup({ source: users, name: "nightly" }),
  };
  place = { directory, vault, repository, orders, users, taken };
});

describe.each(["latest", "nightly"])("%s, which each of them has, is refused, naming them", (reference) => {
  test("by the library", async () => {
    const { repository, directory, orders, users, taken } = place;
    const target = join(directory, "restored");
    for (const ask of [
      () => repository.get(reference),
      () => repository.restore(reference, { target }),
      () => repository.restore(reference, { target, at: taken.orders.createdAt }),
      () => repository.openSnapshot(reference),
      () => repository.verify(reference),
      () => repository.diff(reference, reference),
      () => repository.delete(reference),
    ]) {
      const error = await ask().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: "VALIDATION" });
      for (const part of [orders, users, taken.orders.source.id, taken.users.id]) {
        expect((error as Error).message).toContain(part);
      }
    }
  });

  test("by the command, as wrong use", async () => {
    const { directory, vault, orders } = place;
    const env = { LANCEDB_BACKUP_REPO: vault };
    const refused = await run(["restore", reference, join(directory, "restored")], { env });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("with --source");
    expect(refused.stderr).toContain(orders);
    const target = join(directory, "named");
    const done = await run(["restore", reference, target, "--source", orders], { env });
    expect(done).toMatchObject({ code: 0 });
    expect(done.stdout).toContain(`it was taken of ${orders}.`);
  });
});

test("the source that is named is meant, by its directory or its id, and the answer names it", async () => {
  const { repository, directory, orders, users, taken } = place;
  for (const [index, source] of [orders, taken.orders.source.id].entries()) {
    expect((await repository.get("latest", { source })).id).toBe(taken.orders.id);
    const target = join(directory, `restored-${index}`);
    const report = await repository.restore("nightly", { target, source });
    expect(report).toMatchObject({ snapshot: taken.orders.id, source: { uri: orders } });
    await using opened = await repository.openSnapshot("latest", { source });
    expect(await opened.tableNames()).toEqual(["orders"]);
    const checks = await repository.verify(undefined, { source });
    expect(new Set(checks.map((check) => check.source?.uri))).toEqual(new Set([orders]));
    expect((await repository.list({ source })).map(({ id }) => id)).toEqual([taken.orders.id]);
  }
  const difference = await repository.diff(taken.orders.id, taken.users.id);
  expect(difference).toMatchObject({ fromSource: { uri: orders }, toSource: { uri: users } });
});

test("a snapshot of another database than the one that is named is refused, and one of none is not found", async () => {
  const { repository, orders, taken } = place;
  await expect(repository.get(taken.users.id, { source: orders })).rejects.toMatchObject({
    code: "VALIDATION",
  });
  await expect(repository.get("latest", { source: "/nowhere" })).rejects.toMatchObject({
    code: "BACKUP_NOT_FOUND",
    message: expect.stringContaining(orders),
  });
});

test("in place the target tells which is meant", async () => {
  const { vault, orders, taken } = place;
  const env = { LANCEDB_BACKUP_REPO: vault };
  const args = ["restore", "latest", orders, "--in-place", "--yes"];
  expect(await runJson(args, { env })).toMatchObject({
    snapshot: taken.orders.id,
    source: { uri: orders, id: taken.orders.source.id },
    tables: [{ id: "orders" }],
  });
});

test("in place no older one is taken where one that is newer than the target's own cannot be read", async () => {
  const { repository, vault, orders, taken } = place;
  const cut = await repository.backup({ source: orders, name: "nightly" });
  const last = await repository.backup({ source: place.users, name: "nightly" });
  expect(last.createdAt > cut.createdAt).toBe(true);
  truncateSync(join(vault, "snapshots", `${cut.id}.json`), 100);
  const env = { LANCEDB_BACKUP_REPO: vault };
  const refused = await run(["restore", "latest", orders, "--in-place", "--yes"], { env });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(cut.id);
  const named = await run(["restore", "nightly", orders, "--in-place", "--yes"], { env });
  expect(named.code).toBe(0);
  expect(named.stdout).toContain(taken.orders.id);
  expect(named.stderr).toContain(`a newer snapshot cannot be read`);
  expect(named.stderr).toContain(cut.id);
});

test("scrub compares with snapshots of the database itself, unless another is named", async () => {
  const { repository, orders, users, taken } = place;
  expect(await repository.scrub(orders)).toMatchObject({
    snapshot: taken.orders.id,
    source: { uri: orders },
  });
  expect(await repository.scrub(orders, { source: users })).toMatchObject({
    snapshot: taken.users.id,
    missingTables: ["users"],
  });
});

test("with one database alone nothing need be said", async () => {
  const { repository, taken } = place;
  await repository.delete(taken.users.id);
  expect((await repository.get("latest")).id).toBe(taken.orders.id);
});
