import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import type { Entry, Source } from "../../src/engine/source-contract.ts";
import { registerSource } from "../../src/engine/source-kind.ts";
import { UnsupportedError, ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { run } from "../cli/cli.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

/** A note as a source of its own. */
class NoteSource implements Source {
  readonly type: string;
  readonly id: string;
  readonly uri: string;

  constructor(uri: string, type = "note", id = "note-1") {
    this.uri = uri;
    this.type = type;
    this.id = id;
  }

  async capture() {
    const content = readFileSync(this.uri);
    async function* entries(): AsyncGenerator<Entry> {
      async function* open() {
        yield content;
      }
      yield { path: "note.txt", size: content.length, open };
    }
    return {
      capturedAt: new Date(),
      entries,
      finish: async () => ({ about: {}, details: {} }),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}

registerSource({
  type: "note",
  async restore({ part, target, read }) {
    const pieces: Uint8Array[] = [];
    for (const entry of part.entries) for await (const piece of read(entry)) pieces.push(piece);
    mkdirSync(target);
    writeFileSync(join(target, "note.txt"), Buffer.concat(pieces));
  },
});

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  const [first, second] = [await connect(place("first")), await connect(place("second"))];
  await makeSampleTable(first, "main", { indices: true });
  await makeSampleTable(second, "main", { rows: 7 });
  writeFileSync(place("note.txt"), "as it was");
  const repository = await Repository.init(place("repository"), { logger: silent });
  const note = new NoteSource(place("note.txt"));
  const sources = [place("first"), note, place("second")];
  return { directory, place, first, second, repository, note, sources };
}

test("a snapshot of several sources is listed, verified, compared and restored part by part", async () => {
  const { place, first, second, repository, sources } = await newPlace();
  const [one, two] = [await snapshotOf(first), await snapshotOf(second)];
  const taken = await repository.backup({ sources });
  expect(taken.parts.map(({ source }) => source.type)).toEqual(["lancedb", "note", "lancedb"]);
  expect(taken.parts.map(({ files }) => files).reduce((sum, files) => sum + files)).toBe(taken.files);
  expect(taken.tables.map(({ rows }) => rows)).toEqual([taken.tables[0]?.rows, 6]);
  expect((await repository.list())[0]).toMatchObject({ id: taken.id, parts: taken.parts });
  const results = await repository.verify(taken.id, { restoreTest: true });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(results.filter(({ check }) => check === "integrity").map(({ source }) => source?.type)).toEqual([
    "lancedb",
    "note",
    "lancedb",
  ]);
  expect(results.filter(({ check }) => check.startsWith("restore:main")).length).toBeGreaterThan(1);
  const [{ source: a }, , { source: b }] = taken.parts as [
    (typeof taken.parts)[0],
    unknown,
    (typeof taken.parts)[0],
  ];
  const report = await repository.restore(taken.id, {
    targets: [
      { part: a.id, target: place("a") },
      { part: "note", target: place("n") },
      { part: b.id, target: place("b") },
    ],
  });
  expect(report.parts.map(({ source }) => source.id)).toEqual([a.id, "note-1", b.id]);
  expect(readFileSync(join(place("n"), "note.txt"), "utf8")).toBe("as it was");
  const [back, other] = [await connect(place("a")), await connect(place("b"))];
  expect([await snapshotOf(back), await snapshotOf(other)]).toEqual([one, two]);

  writeFileSync(place("note.txt"), "another");
  await (await second.openTable("main")).add(sampleRows(900, 3));
  const later = await repository.backup({ sources });
  const { parts } = await repository.diff(taken.id, later.id);
  expect(parts.map(({ change }) => change)).toEqual(["unchanged", "changed", "changed"]);
  const { tables } = await repository.diff(taken.id, later.id, { source: b.id, rows: "id" });
  expect(tables[0]?.rows).toMatchObject({ comparable: true, added: 3 });
});

test("of several databases the one that is named is meant, and none is guessed", async () => {
  const { place, first, second, repository, sources } = await newPlace();
  const [one, two] = [await snapshotOf(first), await snapshotOf(second)];
  const taken = await repository.backup({ sources });
  const into = (name: string) => ({ target: place(name) });
  await expect(repository.restore(taken.id, into("x"))).rejects.toThrow(ValidationError);
  await expect(repository.openSnapshot(taken.id)).rejects.toThrow(/2 LanceDB databases/);
  const report = await repository.restore("latest", { ...into("y"), source: place("second") });
  expect(report.leftOut.map(({ table }) => table)).toEqual([place("first"), place("note.txt")]);
  const back = await connect(place("y"));
  expect(await snapshotOf(back)).toEqual(two);
  await using opened = await repository.openSnapshot("latest", { source: place("first") });
  expect(await snapshotOf(opened)).toEqual(one);
  expect((await repository.scrub(place("second"))).damage).toEqual([]);
  await (await second.openTable("main")).delete("true");
  await repository.restore("latest", { target: place("second"), mode: "in-place" });
  expect(await (await second.openTable("main")).countRows()).toBe(6);
  expect((await repository.get(taken.id, { source: place("second") })).tables).toHaveLength(1);
});

test("what cannot be restored is refused before anything is written", async () => {
  const { place, repository, sources } = await newPlace();
  const unknown = new NoteSource(place("note.txt"), "nobody-knows", "n-2");
  const { id } = await repository.backup({ sources: [...sources, unknown] });
  const target = place("new");
  const restore = (...targets: { part: string; target: string }[]) => repository.restore(id, { targets });
  await expect(
    restore({ part: "note", target }, { part: "nobody-knows", target: place("o") }),
  ).rejects.toThrow(UnsupportedError);
  await expect(restore({ part: "note", target }, { part: "sqlite", target: place("o") })).rejects.toThrow(
    /has no part "sqlite"/,
  );
  await expect(restore({ part: "lancedb", target })).rejects.toThrow(/has 2 parts "lancedb"/);
  await expect(restore({ part: "note", target }, { part: "note-1", target: place("o") })).rejects.toThrow(
    /named twice/,
  );
  await expect(restore({ part: "note", target }, { part: "lancedb", target })).rejects.toThrow(
    ValidationError,
  );
  await expect(restore()).rejects.toThrow(ValidationError);
  expect(filesBelow(place("")).filter((path) => /^(new|o)\b/.test(path))).toEqual([]);
});

test("the command takes several databases together, shows their parts and restores each to its place", async () => {
  const { place, first, second, repository } = await newPlace();
  const env = { LANCEDB_BACKUP_REPO: repository.location };
  const made = await run(["backup", place("first"), place("second"), "--json"], { env });
  const { id, parts } = JSON.parse(made.stdout);
  expect(parts).toHaveLength(2);
  const shown = await run(["info", id], { env });
  expect(shown.stdout).toContain(parts[1].source.id);
  expect((await run(["list"], { env })).stdout).toContain("(2 parts)");
  const targets = parts.flatMap(({ source }: { source: { id: string } }, index: number) => [
    "--part",
    `${source.id}=${place(`restored-${index}`)}`,
  ]);
  expect(await run(["restore", id, ...targets], { env })).toMatchObject({ code: 0 });
  const back = await connect(place("restored-1"));
  expect(await snapshotOf(back)).toEqual(await snapshotOf(second));
  expect(await run(["restore", id, place("z")], { env })).toMatchObject({ code: 2 });
  expect(await run(["restore", id], { env })).toMatchObject({ code: 2 });
  expect(await run(["diff", id, id], { env })).toMatchObject({ code: 0 });
  first.close();
});
