import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UnsupportedError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { run as command } from "../../cli/cli.ts";
import { newDirectory } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";
import { digestOf } from "../fixture.ts";
import { silent } from "../sound.ts";
import { remote } from "../verify-run.ts";

const ID = "20261105T123456Z-1a2b3c4d";
const FILE = "what a file of a table holds";

const BODY = `{"kind":"lancedb-backup repository","id":"0b5a8a3e-2c43-4d5b-9c59-0f7f4f0c6a11","createdAt":"2026-11-05T12:00:00.000Z"}`;
const MARK = `{
  "format": 1,
  "sha256": "${createHash("sha256").update(BODY).digest("hex")}",
  "body": ${JSON.stringify(JSON.parse(BODY), null, 2).replaceAll("\n", "\n  ")}
}
`;

const SUMMARY = `{"id":"${ID}","name":"nightly","tags":[],"source":{"type":"lancedb","id":"one","uri":"/data/db","host":"here"},"createdAt":"2026-11-05T12:34:56.000Z","durationMs":12,"history":"all","files":1,"bytes":${FILE.length},"newFiles":1,"newBytes":${FILE.length},"rows":1,"tables":[{"id":"t","directory":"t.lance","version":1,"digest":"${digestOf(FILE)}","versionCount":1,"files":1,"bytes":${FILE.length},"rows":1,"tags":[],"leftOut":[]}],"software":{"lancedbBackup":"0.1.0","node":"v22.16.0"}}`;
const DOCUMENT_BODY = `{"format":1,"summary":${SUMMARY},"content":{
"t.lance":{"versions":[[1,1763712000123.25,1]],"files":[
["_versions/1.manifest",${FILE.length},"${digestOf(FILE)}",1311733,1763712060456.1]
]}
},
"sha256":"`;
const DOCUMENT = `${DOCUMENT_BODY}${digestOf(DOCUMENT_BODY)}"}\n`;

/** As the last version before format 2 left it. */
async function repositoryOfFormat1() {
  const directory = await newDirectory();
  const location = join(directory, "repository");
  const put = (name: string, text: string) => {
    mkdirSync(join(location, name, ".."), { recursive: true });
    writeFileSync(join(location, name), text);
  };
  const blob = digestOf(FILE);
  put("repository.json", MARK);
  put(`snapshots/${ID}.json`, DOCUMENT);
  put(`blobs/${blob.slice(0, 2)}/${blob}`, FILE);
  const look = () => filesBelow(location).map((path) => [path, readFileSync(join(location, path), "utf8")]);
  return { directory, location, look };
}

/** That it is of format 1, and what can be done. */
const NAMED = /has format 1; this version reads 2\..*make a new repository/;

test.each([
  ["open", (storage: LocalStorage) => Repository.open(storage, { logger: silent })],
  ["open through a storage", (storage: LocalStorage) => Repository.open(remote(storage), { logger: silent })],
])("a repository of format 1 is refused by name: %s", async (_name, open) => {
  const { location, look } = await repositoryOfFormat1();
  const before = look();
  const error = await open(new LocalStorage(location)).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect(String(error)).toMatch(NAMED);
  expect(look()).toEqual(before);
});

test("init makes no repository where one of format 1 is, and changes nothing", async () => {
  const { location, look } = await repositoryOfFormat1();
  const before = look();
  const error = await Repository.init(location, { logger: silent }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect(String(error)).toMatch(NAMED);
  expect(look()).toEqual(before);
});

describe("a document of format 1 in a repository of format 2", () => {
  async function arrange() {
    const { directory, location, look } = await repositoryOfFormat1();
    const made = join(directory, "made");
    await Repository.init(made, { logger: silent });
    const mark = readFileSync(join(made, "repository.json"));
    writeFileSync(join(location, "repository.json"), mark);
    const repository = await Repository.open(location, { logger: silent, audit: "off" });
    return { directory, location, look, repository, before: look() };
  }

  test.each<[string, (repository: Repository, target: string) => Promise<unknown>]>([
    ["get", (repository) => repository.get(ID)],
    ["restore", (repository, target) => repository.restore(ID, { target })],
    ["openSnapshot", (repository) => repository.openSnapshot(ID)],
    ["prune", (repository) => repository.prune({ keepLast: 1, graceHours: 0 })],
  ])("%s refuses it by name", async (_name, use) => {
    const { directory, look, repository, before } = await arrange();
    const error = await use(repository, join(directory, "back")).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(String(error)).toMatch(/has format 1; this version reads 2/);
    expect(look()).toEqual(before);
    expect(filesBelow(directory).filter((path) => path.startsWith("back"))).toEqual([]);
  });

  test("list leaves it out, and verify says why", async () => {
    const { repository } = await arrange();
    expect(await repository.list()).toEqual([]);
    expect((await repository.verify()).find(({ snapshot }) => snapshot === ID)).toMatchObject({
      ok: false,
      check: "document",
      details: expect.stringContaining("has format 1"),
    });
  });
});

test.each([
  ["list", ["list"]],
  ["info", ["info", ID]],
  ["verify", ["verify"]],
  ["restore", ["restore", ID, "TARGET"]],
  ["backup", ["backup", "TARGET"]],
  ["prune", ["prune", "--keep-last", "1", "--yes"]],
  ["delete", ["delete", ID, "--yes"]],
  ["init", ["init", "LOCATION"]],
])("the command refuses it by name: %s", async (_name, args) => {
  const { directory, location, look } = await repositoryOfFormat1();
  const before = look();
  const words = args.map((arg) =>
    arg === "TARGET" ? join(directory, "target") : arg === "LOCATION" ? location : arg,
  );
  const { code, stderr } = await command(words, { env: { LANCEDB_BACKUP_REPO: location } });
  expect(code).not.toBe(0);
  expect(stderr.replaceAll(/\s+/g, " ")).toMatch(NAMED);
  expect(look()).toEqual(before);
});
