import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { passphrase } from "../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import { type OpenRepositoryOptions, Repository } from "../../src/repository/index.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { readerOfTheDocs } from "../support/documented-reader.ts";
import { PlainSource } from "../support/plain-source.ts";
import { remote } from "./verify-run.ts";

let directory: string;
let vault: string;
beforeEach(async () => {
  directory = await newDirectory();
  vault = join(directory, "vault");
});

function source(content = "first"): PlainSource {
  const path = mkdtempSync(join(directory, "files-"));
  writeFileSync(join(path, "a.txt"), content);
  return new PlainSource(path);
}

const make = (options: object = {}, location = vault) =>
  Repository.init(location, { logger: silent, ...options });
const open = (options: OpenRepositoryOptions = {}) => Repository.open(vault, { logger: silent, ...options });

/** The oldest first. */
async function operations(repository: Repository): Promise<string[]> {
  return (await repository.audit()).map(({ operation }) => operation).reverse();
}

describe("what is done in a repository is recorded", () => {
  test("by whom, when, what of, and how it ended", async () => {
    const repository = await make({ actor: "nightly" });
    const files = source();
    const { id } = await repository.backup({ source: files, name: "files" });
    const [entry] = await repository.audit();
    expect(entry).toMatchObject({
      ...{ number: 1, previous: null, operation: "backup", outcome: "success" },
      actor: { user: userInfo().username, host: hostname(), name: "nightly" },
      details: { sources: [files.uri], kind: "incremental", snapshot: id, name: "files" },
    });
    expect(Math.abs((entry?.at.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(await repository.verifyAudit()).toMatchObject({
      ok: true,
      entries: 1,
      newest: { number: 1, sha256: entry?.sha256 },
    });
  });

  test("every kind of operation, of several openings behind each other", async () => {
    const repository = await make();
    const { id } = await repository.backup({ source: source() });
    await repository.verify();
    await repository.verify(id, { quarantine: true });
    await repository.pin(id);
    await repository.unpin(id);
    await repository.tag(id, { add: ["good"] });
    const other = await make({}, join(directory, "other"));
    await repository.copy(other);
    await (await open()).prune({ graceHours: 0 });
    await (await open()).delete(id);
    await repository.prune({ graceHours: 0 });
    expect(await operations(repository)).toEqual([
      ...["backup", "verify", "quarantine", "pin", "unpin", "tag"],
      ...["copy-to", "prune", "delete", "prune"],
    ]);
    expect(await operations(other)).toEqual(["copy-from"]);
    const of = async (operation: string) => (await repository.audit({ operations: [operation] }))[0]?.details;
    expect(await of("verify")).toEqual({ checks: expect.any(Number), failed: 0 });
    expect(await of("copy-to")).toMatchObject({ repository: other.location, id: other.id, snapshots: [id] });
    expect(await of("delete")).toEqual({ snapshot: id });
    expect(await repository.verifyAudit()).toMatchObject({ ok: true, entries: 10 });
  });

  test("what fails, with the error's code; what was called wrongly, and a dry run, are not", async () => {
    const repository = await make();
    const { id } = await repository.backup({ source: source() });
    await repository.prune({ dryRun: true });
    await expect(repository.prune({ keepLast: -1 })).rejects.toThrow();
    await expect(repository.restore(id, undefined as never)).rejects.toThrow();
    await expect(repository.delete("20260101T000000Z-12345678")).rejects.toThrow();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(repository.backup({ source: source(), signal })).rejects.toThrow("enough");
    expect((await repository.audit()).reverse().slice(1)).toMatchObject([
      { operation: "delete", outcome: "failure", details: { error: "BACKUP_NOT_FOUND" } },
      { operation: "backup", outcome: "aborted", details: { error: "Error" } },
    ]);
  });

  test("several operations of one repository at once", async () => {
    const repository = await make();
    const others = await Promise.all([open(), open()]);
    await Promise.all([repository, ...others].flatMap((one) => [1, 2, 3].map(() => one.verify())));
    expect(await repository.verifyAudit()).toMatchObject({ ok: true, entries: 9 });
  });

  test("elsewhere than on a disk all but backups that went well, unless all is asked for, or nothing", async () => {
    const away = () => remote(new LocalStorage(vault));
    const repository = await Repository.init(away(), { logger: silent });
    await repository.backup({ source: source() });
    await repository.verify();
    expect(await operations(repository)).toEqual(["verify"]);
    await expect(repository.backup({ source: join(directory, "gone", "x.sqlite") })).rejects.toThrow();
    await (await Repository.open(away(), { logger: silent, audit: "all" })).backup({ source: source() });
    await (await Repository.open(away(), { logger: silent, audit: "off" })).verify();
    expect(await operations(repository)).toEqual(["verify", "backup"]);
    for (const wrong of [{ audit: "some" }, { actor: "" }, { actor: "a\nb" }])
      await expect(open(wrong as never)).rejects.toThrow(/audit|actor/);
  });
});

describe("restores are listed", () => {
  test("with snapshot, time, who, targets, outcome and duration; without passwords", async () => {
    const repository = await make();
    const source = await import("../../src/repository/index.ts").then(({ sourceFromUrl }) =>
      sourceFromUrl(filesOf("content")),
    );
    const { id } = await repository.backup({ source, name: "files" });
    const target = join(directory, "back");
    const report = await (await open({ actor: "ada" })).restore("files", { target });
    const fails = repository.restore("latest", { target: "postgresql://ada:secret@127.0.0.1:1/db" });
    await expect(fails).rejects.toThrow();
    const [failed, restored, ...more] = await repository.restores();
    expect(more).toEqual([]);
    expect(restored).toEqual({
      ...{ snapshot: id, at: expect.any(Date), durationMs: expect.any(Number), outcome: "success" },
      ...{ user: userInfo().username, host: hostname(), actor: "ada", targets: [target], error: undefined },
      ...{ mode: "new", files: report.files, bytes: report.bytes },
    });
    if (failed)
      expect(failed).toMatchObject({ outcome: "failure", targets: ["postgresql://127.0.0.1:1/db"] });
    expect(await repository.restores({ limit: 1, before: restored?.at })).toEqual([]);
    for (const name of readdirSync(join(vault, "audit")))
      expect(readFileSync(join(vault, "audit", name), "utf8")).not.toContain("secret");
  });

  function filesOf(content: string): string {
    const path = mkdtempSync(join(directory, "tree-"));
    writeFileSync(join(path, "a.txt"), content);
    return path;
  }

  test("a repository that can only be read is restored from all the same, with a warning", async () => {
    const repository = await make();
    const files = filesOf("content");
    const { id } = await repository.backup({ source: files });
    const { logger, logged } = recordingLogger();
    const warnings = () => logged.filter(({ level }) => level === "warn").map(({ meta }) => meta);
    const readOnly = await Repository.open(vault, { logger, readOnly: true });
    await readOnly.restore(id, { target: join(directory, "one") });
    expect(warnings()).toMatchObject([
      { operation: "restore", reason: expect.stringContaining("reading only") },
    ]);
    if (process.getuid?.() === 0) return; // nothing is refused to root
    chmodSync(vault, 0o555);
    rmSync(join(vault, "audit"), { recursive: true, force: true });
    try {
      await (await Repository.open(vault, { logger })).restore(id, { target: join(directory, "two") });
      expect(warnings().length).toBe(2);
    } finally {
      chmodSync(vault, 0o755);
    }
  });
});

describe("in an encrypted repository", () => {
  const key = Buffer.alloc(32, 7);

  test("nothing of it can be read, and keys that come and go are told", async () => {
    const repository = await make({ encryption: { keys: [rawKey(key)] } });
    const { id } = await repository.backup({ source: source(), name: "payroll" });
    const slot = await repository.keys.add(passphrase("correct horse"));
    await repository.keys.remove(slot.id);
    expect((await repository.audit()).map(({ operation, details }) => [operation, details])).toEqual([
      ["key-remove", { slot: slot.id }],
      ["key-add", { slot: slot.id, kind: "passphrase" }],
      ["backup", expect.objectContaining({ snapshot: id })],
    ]);
    for (const name of readdirSync(join(vault, "audit"))) {
      const bytes = readFileSync(join(vault, "audit", name)).toString("latin1");
      for (const word of ["payroll", userInfo().username, "backup", id]) expect(bytes).not.toContain(word);
    }
  });

  test("an entry in the place of another is refused", async () => {
    const repository = await make({ encryption: { keys: [rawKey(key)] } });
    for (let turn = 0; turn < 3; turn++) await repository.verify();
    const file = (number: number) => join(vault, "audit", `000000000${number}.json`);
    writeFileSync(file(2), readFileSync(file(1)));
    expect((await repository.verifyAudit()).problems).toMatchObject([{ kind: "changed", number: 2 }]);
  });

  test("after a rotation, and one that encrypts all anew, it is read and goes on", async () => {
    const repository = await make({ encryption: { keys: [rawKey(key)] } });
    await repository.backup({ source: source() });
    const before = (await repository.audit())[0];
    await repository.keys.rotate();
    await repository.verify();
    await repository.keys.rotate({ rewrite: true });
    await repository.verify();
    const opened = await open({ keys: [rawKey(key)] });
    expect(await operations(opened)).toEqual(["backup", "key-rotate", "verify", "key-rotate", "verify"]);
    expect((await opened.audit()).at(-1)).toEqual(before);
    expect(await opened.verifyAudit()).toMatchObject({ ok: true, entries: 5 });
    expect((await readerOfTheDocs(directory)).readAudit(vault, key).length).toBe(5);
  });
});

describe("a prune", () => {
  test("takes no entry away unless it is asked to; then the log says so, and the docs' reader follows", async () => {
    const repository = await make();
    for (let turn = 0; turn < 4; turn++) await repository.verify();
    await repository.prune();
    expect((await repository.prune({ keepAuditDays: 1 })).auditEntriesRemoved).toBe(0);
    const { auditEntriesRemoved } = await repository.prune({ keepAuditDays: 1e-9 });
    expect(auditEntriesRemoved).toBe(5);
    expect(await operations(repository)).toEqual(["prune", "forget", "prune"]);
    expect(await repository.verifyAudit()).toMatchObject({ ok: true, forgottenThrough: 5 });
    const { readAudit } = await readerOfTheDocs(directory);
    expect(readAudit(vault).map(({ operation }) => operation)).toEqual(["prune", "forget", "prune"]);
    rmSync(join(vault, "audit", "0000000007.json"));
    expect(() => readAudit(vault)).toThrow("damaged");
    await expect(repository.prune({ keepAuditDays: -1 })).rejects.toThrow("keepAuditDays");
  });
});
