import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { placeShown } from "../../src/repository/events.ts";
import { Repository, type RepositoryEvent } from "../../src/repository/index.ts";
import { PlainSource } from "../support/plain-source.ts";

let dir: string;
let repository: Repository;
let warnings: { message: string; meta: unknown }[];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "events-"));
  warnings = [];
  const silent = () => undefined;
  const warn = (message: string, meta?: unknown) => void warnings.push({ message, meta });
  const logger = { debug: silent, info: silent, warn, error: silent };
  repository = await Repository.init(join(dir, "vault"), { logger });
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

function plainSource(): PlainSource {
  const path = mkdtempSync(join(dir, "files-"));
  writeFileSync(join(path, "a.txt"), "first");
  return new PlainSource(path);
}

function listenToAll(): RepositoryEvent[] {
  const events: RepositoryEvent[] = [];
  for (const name of ["backup", "restore", "verify", "prune", "warning"] as const) {
    repository.on(name, (event) => void events.push(event));
  }
  return events;
}

describe("each operation makes one event when it has ended", () => {
  test("a backup, with its snapshot, source, sizes and times", async () => {
    const events = listenToAll();
    const source = plainSource();
    const snapshot = await repository.backup({ source, type: "full" });
    expect(events).toEqual([
      {
        type: "backup",
        outcome: "success",
        kind: "full",
        sources: [source.uri],
        repository: { id: repository.id, location: repository.location },
        startedAt: expect.any(Date),
        endedAt: expect.any(Date),
        durationMs: expect.any(Number),
        result: snapshot,
      },
    ]);
    const [event] = events;
    if (event?.type !== "backup" || event.outcome !== "success") throw new Error("no backup");
    expect(event.result.newBytes).toBe(5);
    expect(event.endedAt.getTime()).toBeGreaterThanOrEqual(event.startedAt.getTime());
  });

  test("a backup that fails, with the very error that the caller gets", async () => {
    const events = listenToAll();
    const error = await repository.backup({ source: join(dir, "nowhere") }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(events).toMatchObject([{ type: "backup", outcome: "failure", sources: [join(dir, "nowhere")] }]);
    expect(events[0]).toHaveProperty("error", error);
  });

  test("one that its signal ended is aborted", async () => {
    const events = listenToAll();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(repository.backup({ source: plainSource(), signal })).rejects.toThrow("enough");
    expect(events).toMatchObject([{ type: "backup", outcome: "aborted" }]);
  });

  test("a verification and a prune, with their results", async () => {
    await repository.backup({ source: plainSource() });
    const events = listenToAll();
    const results = await repository.verify();
    const report = await repository.prune({ keepLast: 1 });
    expect(events).toMatchObject([
      { type: "verify", outcome: "success", restoreTest: false, result: results },
      { type: "prune", outcome: "success", result: report },
    ]);
  });

  test("a restore that fails, with what was asked for; a dry run makes none", async () => {
    await repository.backup({ source: plainSource() });
    const events = listenToAll();
    const target = join(dir, "target");
    await expect(repository.restore("latest", { target })).rejects.toThrow();
    await repository.prune({ dryRun: true });
    expect(events).toMatchObject([
      { type: "restore", outcome: "failure", snapshot: "latest", targets: [target] },
    ]);
    expect(existsSync(target)).toBe(false);
  });

  test("options that are nothing at all", async () => {
    const events = listenToAll();
    await expect(repository.backup(undefined as never)).rejects.toThrow(TypeError);
    await expect(repository.restore("latest", undefined as never)).rejects.toThrow();
    expect(events.map(({ type }) => type)).toEqual(["backup", "restore"]);
  });
});

describe("listeners", () => {
  test("what the log gets as a warning is an event", async () => {
    const events = listenToAll();
    await repository.backup({ source: plainSource() });
    writeFileSync(join(dir, "vault/snapshots/20260101T000000Z-00000000.json"), "cut");
    await repository.list();
    expect(warnings).toHaveLength(1);
    expect(events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: warnings[0]?.message, meta: warnings[0]?.meta },
    ]);
  });

  test("what one throws or rejects with is a warning, and reaches neither the caller nor a listener", async () => {
    const events = listenToAll();
    repository.on("backup", () => {
      throw new Error("thrown by a listener");
    });
    repository.on("backup", async () => {
      throw new Error("rejected by a listener");
    });
    await repository.backup({ source: plainSource() });
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings.map(({ meta }) => meta)).toEqual([
      { event: "backup", reason: expect.stringContaining("thrown by a listener") },
      { event: "backup", reason: expect.stringContaining("rejected by a listener") },
    ]);
    expect(events.map(({ type }) => type)).toEqual(["backup"]);
  });

  test("the function that `on` answers with ends one of them", async () => {
    let heard = 0;
    const listener = () => heard++;
    const ends = [repository.on("prune", listener), repository.on("prune", listener)];
    await repository.prune();
    expect(heard).toBe(2);
    ends[0]?.();
    ends[0]?.();
    await repository.prune();
    expect(heard).toBe(3);
  });

  test("an event that does not exist, or a listener that is none, is refused", () => {
    expect(() => repository.on("backups" as never, () => undefined)).toThrow("There is no event");
    expect(() => repository.on("backup", "me" as never)).toThrow(TypeError);
  });
});

test.each([
  ["/data/db", "/data/db"],
  ["file:/data/db", "file:/data/db"],
  ["postgresql://me:secret@host:5432/app?sslmode=require", "postgresql://host:5432/app"],
  ["mysql://me:p@ss@host/app?password=secret", "mysql://host/app"],
  ["sqlite:/data/app.db", "sqlite:/data/app.db"],
])("an event shows the place %s as %s", (place, shown) => {
  expect(placeShown(place)).toBe(shown);
});

describe("a full backup", () => {
  test("reads again what an incremental one knows by its stamp, and finds what has changed behind it", async () => {
    const source = plainSource();
    // PlainSource stamps by length and the first eight bytes.
    writeFileSync(join(source.uri, "a.txt"), "so much of its bundle that this is used again");
    writeFileSync(join(source.uri, "b.txt"), "12345678 one");
    await repository.backup({ source });
    writeFileSync(join(source.uri, "b.txt"), "12345678 two");
    expect((await repository.backup({ source })).newFiles).toBe(0);
    expect((await repository.backup({ source, type: "full" })).newFiles).toBe(1);
    expect((await repository.backup({ source, type: "full" })).newFiles).toBe(0);
  });

  test("another type is refused", async () => {
    await expect(repository.backup({ source: plainSource(), type: "all" as never })).rejects.toThrow(
      'type must be "full" or "incremental"',
    );
  });
});
