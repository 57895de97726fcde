import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { passphrase } from "../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import { LabelStore } from "../../src/engine/labels/label-store.ts";
import { removeUnlessPinned } from "../../src/engine/labels/remove-snapshot.ts";
import { BackupNotFoundError, IoError, LockedError, ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { readerOfTheDocs } from "../support/documented-reader.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { namesBelow, rejection } from "../support/pieces.ts";
import { putSnapshot } from "./fixture.ts";
import { newPlace, newQuickPlace, tableOf } from "./prune/place.ts";
import { remote } from "./verify-run.ts";

const raw = Buffer.alloc(32, 9);

/** A repository without a database, and ids of three snapshots of one source, the newest first. */
async function newRepository() {
  const location = join(await newDirectory(), "vault");
  const repository = await Repository.init(location, { logger: silent });
  const storage = new LocalStorage(location);
  const ids: string[] = [];
  for (const day of ["03", "02", "01"]) {
    const at = `2026-01-${day}T00:00:00Z`;
    ids.push((await putSnapshot(storage, { at, tags: ["taken"], tables: tableOf(day) })).id);
  }
  return { location, repository, storage, ids: ids as [string, string, string] };
}

async function newDatabase(): Promise<string> {
  const uri = join(await newDirectory(), "db");
  const db = await connect(uri);
  await db.createTable("documents", [{ id: 1 }]);
  db.close();
  return uri;
}

describe("what is said of a snapshot later", () => {
  test.each([
    ["in a local directory", (storage: LocalStorage) => storage, {}],
    ["encrypted", (storage: LocalStorage) => storage, { encryption: { keys: [rawKey(raw)] } }, raw],
    [
      "elsewhere, encrypted",
      remote,
      { encryption: { keys: [passphrase("correct horse")] } },
      "correct horse",
    ],
  ] as const)(
    "%s lies beside its document, and is read by the reader that the docs print",
    async (_where, through, options, secret?: string | Buffer) => {
      const directory = await newDirectory();
      const location = join(directory, "vault");
      const storage = through(new LocalStorage(location));
      const repository = await Repository.init(storage, { logger: silent, ...options });
      const { id } = await repository.backup({ source: await newDatabase(), tags: ["nightly"] });
      const { readLabels } = await readerOfTheDocs(directory);
      const document = () => readFileSync(join(location, "snapshots", `${id}.json`));
      const before = document();
      expect(readLabels(location, id, secret)).toBeUndefined();
      await repository.pin("latest", { reason: "before the migration" });
      const tagged = await repository.tag(id, { add: ["audited"], remove: ["nightly"] });
      expect(tagged).toMatchObject({ tags: ["audited"], pinned: { reason: "before the migration" } });
      expect(readLabels(location, id, secret)).toMatchObject({
        ...{ number: 2, tags: ["audited"] },
        pinned: { since: tagged.pinned?.since.toISOString(), reason: "before the migration" },
      });
      expect(document().equals(before)).toBe(true);
      expect(readdirSync(join(location, "labels"))).toEqual([`${id}.00000002.json`]);
      const stored = readFileSync(join(location, "labels", `${id}.00000002.json`)).toString("latin1");
      expect(stored.includes("migration")).toBe(secret === undefined);
      expect(await repository.list({ tags: ["audited"] })).toMatchObject([{ id, tags: ["audited"] }]);
      expect(await repository.list({ tags: ["nightly"] })).toEqual([]);
      expect((await repository.unpin(id)).pinned).toBeUndefined();
      expect(readLabels(location, id, secret)).toMatchObject({ number: 3, tags: ["audited"] });
      expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
    },
  );

  test("that is so already changes nothing", async () => {
    const { repository, ids, location } = await newRepository();
    await repository.unpin(ids[0]);
    await repository.tag(ids[0], { add: ["taken"], remove: ["other"] });
    expect(readdirSync(location)).not.toContain("labels");
    const first = await repository.pin(ids[0], { reason: "one" });
    expect(await repository.pin(ids[0])).toEqual(first);
    expect((await repository.pin(ids[0], { reason: "two" })).pinned).toEqual({
      ...{ since: first.pinned?.since, reason: "two" },
    });
  });

  test("by many at once is not lost", async () => {
    const { repository, ids } = await newRepository();
    const tags = Array.from({ length: 12 }, (_, index) => `tag-${index}`);
    await Promise.all([...tags.map((tag) => repository.tag(ids[1], { add: [tag] })), repository.pin(ids[1])]);
    const { tags: all, pinned } = await repository.get(ids[1]);
    expect(all.toSorted()).toEqual(["taken", ...tags].sort());
    expect(pinned).toBeDefined();
  });

  test("is refused where it is nothing that can be said", async () => {
    const { repository, ids, location } = await newRepository();
    expect(await rejection(repository.pin("20260101T000000Z-00000000"))).toBeInstanceOf(BackupNotFoundError);
    expect(await rejection(repository.pin(ids[0], { reason: "" }))).toBeInstanceOf(ValidationError);
    expect(await rejection(repository.tag(ids[0], { add: ["no tag"] }))).toBeInstanceOf(ValidationError);
    expect(await rejection(repository.tag(ids[0], {}))).toBeInstanceOf(ValidationError);
    const both = { add: ["a"], remove: ["a"] };
    expect(await rejection(repository.tag(ids[0], both))).toBeInstanceOf(ValidationError);
    const misspelt = { reasons: "x" } as object;
    expect(await rejection(repository.pin(ids[0], misspelt))).toBeInstanceOf(ValidationError);
    const readOnly = await Repository.open(location, { logger: silent, readOnly: true });
    expect(await rejection(readOnly.pin(ids[0]))).toBeInstanceOf(IoError);
    expect(readdirSync(location)).not.toContain("labels");
  });

  test("stays readable when keys are rotated, and the old ones dropped", async () => {
    const directory = await newDirectory();
    const location = join(directory, "vault");
    const encryption = { keys: [rawKey(raw)] };
    const repository = await Repository.init(location, { logger: silent, encryption });
    const { id } = await repository.backup({ source: await newDatabase() });
    await repository.pin(id, { reason: "for the auditors" });
    await repository.keys.rotate({ rewrite: true });
    const again = await Repository.open(location, { logger: silent, keys: [rawKey(raw)] });
    expect((await again.get(id)).pinned).toMatchObject({ reason: "for the auditors" });
    const { readLabels } = await readerOfTheDocs(directory);
    expect(readLabels(location, id, raw)).toMatchObject({ pinned: { reason: "for the auditors" } });
  });
});

describe("a snapshot that is pinned", () => {
  test("is removed by no rule, until it is unpinned; what was said of it goes with it", async () => {
    const { repository, storage, ids } = await newRepository();
    await repository.pin(ids[2], { reason: "the audit" });
    await repository.tag(ids[1], { add: ["going"] });
    const { kept, removed } = await repository.prune({ keepLast: 1, maxAgeDays: 1, maxBackups: 1 });
    expect(kept.map(({ snapshot }) => snapshot.id)).toEqual([ids[0], ids[2]]);
    expect(kept[1]).toMatchObject({ reasons: ["pinned: the audit"] });
    expect(removed.map(({ snapshot }) => snapshot.id)).toEqual([ids[1]]);
    expect(await namesBelow(storage, "labels/")).toEqual([`labels/${ids[2]}.00000001.json`]);
    await repository.unpin(ids[2]);
    expect((await repository.prune({ keepLast: 1 })).removed).toMatchObject([{ snapshot: { id: ids[2] } }]);
    expect(await namesBelow(storage, "labels/")).toEqual([]);
  });

  test("fills no place of maxBackups", async () => {
    const { repository, ids } = await newRepository();
    await repository.pin(ids[0]);
    await repository.pin(ids[1]);
    expect((await repository.prune({ maxBackups: 1, dryRun: true })).removed).toEqual([]);
  });

  test("is kept by the tags that it was given later", async () => {
    const { repository, ids } = await newRepository();
    await repository.tag(ids[2], { add: ["keep"] });
    const { removed } = await repository.prune({ keepLast: 1, keepTags: ["keep"], dryRun: true });
    expect(removed.map(({ snapshot }) => snapshot.id)).toEqual([ids[1]]);
  });

  test("is not deleted by hand", async () => {
    const { repository, ids } = await newRepository();
    await repository.pin(ids[0], { reason: "the audit" });
    const error = await rejection(repository.delete(ids[0]));
    expect(error).toBeInstanceOf(LockedError);
    expect(String(error)).toContain("the audit");
    expect(await repository.list()).toHaveLength(3);
    await repository.unpin(ids[0]);
    await repository.delete(ids[0]);
    expect(await repository.list()).toHaveLength(2);
  });

  /** A prune in the midst of which somebody pins the snapshot that goes. */
  async function prunedBeside(moment: "before" | "after") {
    const place = await newQuickPlace();
    const put = (at: string, content: string) =>
      putSnapshot(place.storage, { at, tables: tableOf(content) }).then(({ id }) => id);
    const old = await put("2026-01-01T00:00:00Z", "old");
    await put("2026-01-02T00:00:00Z", "new");
    const labels = new LabelStore({ storage: place.storage });
    let isDone = false;
    const pin = async () => {
      isDone = true;
      await labels.change(old, [], (now) => ({ ...now, pinned: { since: new Date(0) } }));
    };
    const storage = new Proxy(place.storage, {
      get(target, key) {
        if (key === "remove") {
          return async (name: string) => {
            // The pin's own look comes before the document goes: it is told to have succeeded.
            if (name === `snapshots/${old}.json` && moment === "after") await pin();
            return target.remove(name);
          };
        }
        if (key === "list") {
          return async function* (prefix: string) {
            if (prefix === `labels/${old}.` && moment === "before" && !isDone) await pin();
            yield* target.list(prefix);
          };
        }
        const value: unknown = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const report = await place.prune({ keepLast: 1, graceHours: 0 }, storage);
    expect(isDone).toBe(true);
    return { place, old, report };
  }

  test.each(["before", "after"] as const)(
    "just %s the prune looked stays whole, though its blobs were to go",
    async (moment) => {
      const { place, old, report } = await prunedBeside(moment);
      expect(report.removed).toEqual([]);
      expect(report.kept).toMatchObject([{}, { snapshot: { id: old }, reasons: ["pinned"] }]);
      expect(await place.assertWhole()).toHaveLength(2);
    },
  );

  test("when it has just been removed is told not to be there", async () => {
    const place = await newPlace();
    const snapshot = await putSnapshot(place.storage, { at: "2026-01-01T00:00:00Z" });
    const storage = new Proxy(place.storage, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (key !== "writeNew") return typeof value === "function" ? value.bind(target) : value;
        return async (name: string, content: Uint8Array) => {
          await target.remove(`snapshots/${snapshot.id}.json`);
          return target.writeNew(name, content);
        };
      },
    });
    const pinned = new LabelStore({ storage }).change(snapshot.id, [], (now) => ({
      ...{ ...now, pinned: { since: new Date() } },
    }));
    expect(await rejection(pinned)).toBeInstanceOf(BackupNotFoundError);
    expect(await namesBelow(place.storage, "labels/")).toEqual([]);
  });

  test("counts as such where its record is damaged, which verify tells, and is mended by the next", async () => {
    const { repository, location, ids } = await newRepository();
    await repository.tag(ids[2], { add: ["more"] });
    const file = join(location, "labels", `${ids[2]}.00000001.json`);
    writeFileSync(file, readFileSync(file, "utf8").replace("more", "less"));
    const { logger, logged } = recordingLogger();
    const opened = await Repository.open(location, { logger });
    const [, , oldest] = await opened.list();
    expect(oldest).toMatchObject({
      tags: ["taken"],
      pinned: { reason: expect.stringContaining("cannot be read") },
    });
    expect(JSON.stringify(logged)).toContain("counts as pinned");
    expect((await opened.prune({ keepLast: 1 })).removed).toMatchObject([{ snapshot: { id: ids[1] } }]);
    const around = async () => (await opened.verify()).find(({ check }) => check === "repository");
    expect(await around()).toMatchObject({
      ok: false,
      details: expect.stringContaining("pin or unpin it anew"),
    });
    await opened.unpin(ids[2]);
    expect(await around()).toMatchObject({ ok: true });
    expect(await opened.get(ids[2])).not.toHaveProperty("pinned");
  });
});

describe("a pin whose record cannot be read", () => {
  async function newUnreadable(change: (text: string) => string) {
    const made = await newRepository();
    const [, , id] = made.ids;
    await made.repository.pin(id, { reason: "the audit" });
    const file = join(made.location, "labels", `${id}.00000001.json`);
    writeFileSync(file, change(readFileSync(file, "utf8")));
    return { ...made, id, file };
  }
  const damaged = (text: string) => text.replace("the audit", "the audio");
  const newer = (text: string) => text.replace('"format": 2', '"format": 3');

  test("is lost by no tag, and by no copy of labels there", async () => {
    const { repository, id } = await newUnreadable(damaged);
    const { tags, pinned } = await repository.tag(id, { add: ["x"] });
    expect({ tags, pinned }).toMatchObject({
      ...{ tags: ["taken", "x"], pinned: { reason: expect.stringContaining("cannot be read") } },
    });
    expect(await rejection(repository.delete(id))).toBeInstanceOf(LockedError);
    const target = await newUnreadable(damaged);
    const source = await Repository.init(join(await newDirectory(), "source"), { logger: silent });
    await target.repository.copy(source);
    await source.tag(target.id, { add: ["y"] });
    await source.copy(target.repository, { labels: true });
    expect(await target.repository.get(target.id)).toMatchObject({ tags: ["taken", "y"], pinned: {} });
  });

  test("is said anew by a pin, also without a reason", async () => {
    const { repository, id } = await newUnreadable(damaged);
    expect((await repository.pin(id)).pinned).not.toHaveProperty("reason");
  });

  test("since it is a newer version's is left as it is", async () => {
    const { repository, id, file } = await newUnreadable(newer);
    const before = readFileSync(file, "utf8");
    const said = [repository.tag(id, { add: ["x"] }), repository.unpin(id), repository.pin(id)];
    for (const error of await Promise.all(said.map(rejection)))
      expect(error).toMatchObject({ code: "UNSUPPORTED" });
    expect(readFileSync(file, "utf8")).toBe(before);
    expect((await repository.get(id)).pinned).toBeDefined();
  });
});

test("a document comes back where it cannot be seen whether its snapshot was pinned when it went", async () => {
  const { storage, ids } = await newRepository();
  let isGone = false;
  const failing = new FaultyStorage(storage, ({ method, name }) => {
    if (method === "remove" && name.startsWith("snapshots/")) isGone = true;
    return isGone && method === "list" && name.startsWith("labels/") ? "fail" : undefined;
  });
  expect(await rejection(removeUnlessPinned({ storage: failing }, ids[0]))).toBeInstanceOf(IoError);
  expect(isGone).toBe(true);
  expect(await namesBelow(storage, "snapshots/")).toContain(`snapshots/${ids[0]}.json`);
});

describe("a copy", () => {
  async function newTarget() {
    return Repository.init(join(await newDirectory(), "target"), { logger: silent });
  }

  test("takes pins and tags along where that is asked for, of what is there already too, and takes nothing away", async () => {
    const { repository, ids } = await newRepository();
    const target = await newTarget();
    await repository.pin(ids[0], { reason: "here" });
    const plain = await repository.copy(target);
    expect(plain).not.toHaveProperty("labelled");
    expect((await target.list()).some(({ pinned }) => pinned)).toBe(false);
    await target.tag(ids[0], { add: ["there"], remove: ["taken"] });
    await target.pin(ids[1]);
    await repository.tag(ids[0], { add: ["here"] });
    const { labelled } = await repository.copy(target, { labels: true });
    expect(labelled).toEqual([ids[0]]);
    expect(await target.get(ids[0])).toMatchObject({
      ...{ tags: ["there", "taken", "here"], pinned: { reason: "here" } },
    });
    expect((await target.get(ids[1])).pinned).toBeDefined();
    expect((await repository.copy(target, { labels: true })).labelled).toEqual([]);
  });
});
