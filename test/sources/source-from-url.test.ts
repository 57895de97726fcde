import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { registerSource } from "../../src/engine/source-kind.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { sourceFromUrl } from "../../src/sources/source-from-url.ts";
import { run } from "../cli/cli.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

const targets: string[] = [];
let isDamaged = false;

registerSource({
  type: "memo",
  schemes: ["memo"],
  urlOptions: ["format"],
  fromUrl: (url, { format = "sql" }) => ({
    type: "memo",
    id: "memo-1",
    uri: url.replace(/:[^:@]*@/, "@"),
    capture: async () => ({
      capturedAt: new Date(),
      async *entries() {
        yield {
          path: "memo",
          open: async function* () {
            yield Buffer.from(format);
          },
        };
      },
      finish: async () => ({ about: {}, details: {} }),
      [Symbol.asyncDispose]: async () => undefined,
    }),
  }),
  async planRestore({ target }) {
    if (target.includes("refused")) throw new ValidationError("not there");
  },
  async restore({ target }) {
    targets.push(target);
    return { files: 1, bytes: 3, leftOut: [{ table: "memo", what: "its colour" }] };
  },
  async test({ scratch, part, read }) {
    if (isDamaged) throw new CorruptError("it is damaged");
    for (const entry of part.entries)
      for await (const piece of read(entry)) writeFileSync(join(scratch, "memo"), piece);
    return `${readFileSync(join(scratch, "memo"), "utf8")} was read`;
  },
});

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  await makeSampleTable(await connect(place("db")), "main");
  const repository = await Repository.init(place("vault"), { logger: silent });
  return { place, repository };
}

test("an address, a path and a source of its own are backed up together", async () => {
  const { place, repository } = await newPlace();
  const sources = [place("db"), "memo://me:s3cret@here/it"];
  const taken = await repository.backup({ sources, sourceOptions: { format: "tar" } });
  expect(taken.parts.map(({ source }) => source.type)).toEqual(["lancedb", "memo"]);
  const [database] = await repository.list();
  expect(database?.source.id).toBe(sourceFromUrl(place("db")).id);
  const document = readFileSync(place(`vault/snapshots/${taken.id}.json`), "utf8");
  expect(document).toContain("memo://me@here/it");
  expect(document).not.toContain("s3cret");
  const again = await repository.backup({ sources: sources.map((url) => sourceFromUrl(url)) });
  expect(again.parts.map(({ source }) => source.id)).toEqual(taken.parts.map(({ source }) => source.id));
});

test("a scheme that nobody knows is refused, and those that are known are named; so is an option that no source has", async () => {
  const { place, repository } = await newPlace();
  expect(() => sourceFromUrl("nobody://here")).toThrow(ValidationError);
  expect(() => sourceFromUrl("nobody:here")).toThrow(/file:,.* memo:/);
  expect(() => sourceFromUrl("s3://bucket/db")).toThrow(UnsupportedError);
  expect(() => sourceFromUrl("memo:x", { formats: "sql" } as object)).toThrow(/no option "formats"/);
  expect(() => sourceFromUrl(7 as never)).toThrow(TypeError);
  const refused = repository.backup({ source: place("db"), sourceOptions: { format: "tar" } });
  await expect(refused).rejects.toThrow(/format is not an option of a source of the kind lancedb/);
  await expect(repository.backup({ source: sourceFromUrl("memo:x", { jobs: 2 }) })).rejects.toThrow(
    /jobs is not an option of a source of the kind memo/,
  );
  expect(await repository.list()).toEqual([]);
});

test("a snapshot whose only part is no LanceDB database goes to its kind's restore, with the whole address", async () => {
  const { place, repository } = await newPlace();
  const { id } = await repository.backup({ source: "memo:x" });
  const target = "memo://me:s3cret@there/it";
  await expect(repository.restore(id, { target: "memo:refused" })).rejects.toThrow("not there");
  expect(targets).toEqual([]);
  const report = await repository.restore("latest", { target });
  expect(targets).toEqual([target]);
  expect(report).toMatchObject({ target: "memo://me@there/it", files: 1, bytes: 3, tables: [] });
  expect(report.leftOut).toEqual([{ table: "memo", what: "its colour" }]);
  await expect(repository.restore(id, { target, link: true })).rejects.toThrow(ValidationError);
  await expect(repository.restore(id, { target: place("vault/in") })).rejects.toThrow(ValidationError);

  const told = await run(["restore", id, "--repo", place("vault"), "--target-url", target]);
  expect(told.code).toBe(1); // another process, to which nobody has made the kind known
  expect(`${told.stdout}${told.stderr}`).not.toContain("s3cret");
  expect(told.stderr).toContain("registerSource makes a kind known");
});

test("a restore test runs the kind's own, in a directory that is taken away again", async () => {
  const { place, repository } = await newPlace();
  const { id } = await repository.backup({ source: "memo:x" });
  const tested = async () =>
    (await repository.verify(id, { restoreTest: true })).filter(({ check }) => check.startsWith("restore"));
  expect(await tested()).toMatchObject([{ check: "restore:memo", ok: true, details: "sql was read" }]);
  isDamaged = true;
  expect(await tested()).toMatchObject([{ check: "restore", ok: false, details: "it is damaged" }]);
  isDamaged = false;
  expect(readdirSync(place("vault")).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a directory with tables in namespaces alone is a LanceDB database, and one of files is none", async () => {
  const directory = await newDirectory();
  const db = await connect(join(directory, "db"));
  await db.createNamespace(["ns"]);
  await db.createTable("t", [{ id: 1 }], ["ns"]);
  db.close();
  expect(sourceFromUrl(join(directory, "db")).type).toBe("lancedb");
  expect(sourceFromUrl(directory).type).toBe("files");
});

test.each([
  [
    "postgresql://db.example/app",
    "postgresql://me:secret@db.example:5432/app",
    "postgres://db.example/app?sslmode=require",
  ],
  ["mysql://db.example/app", "mysql://me:secret@db.example:3306/app", "mariadb://db.example/app"],
])("a server's database is the same with its port and without, whoever asks: %s", (url, ...same) => {
  const { id } = sourceFromUrl(url);
  expect(same.map((other) => sourceFromUrl(other).id)).toEqual([id, id]);
  for (const other of [url.replace("example", "example:4000"), url.replace("/app", "/other")])
    expect(sourceFromUrl(other).id).not.toBe(id);
});
