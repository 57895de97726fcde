import { readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type AuditAction, encodeEntry } from "../../../src/engine/audit/audit-entry.ts";
import {
  type AuditPlace,
  appendEntry,
  entriesOf,
  listEntries,
  readHead,
} from "../../../src/engine/audit/audit-log.ts";
import { forgetEntries } from "../../../src/engine/audit/forget-entries.ts";
import { verifyAuditLog } from "../../../src/engine/audit/verify-audit.ts";
import { PLAIN_DOCUMENTS } from "../../../src/engine/codec/document-codec.ts";
import { encodeRecord } from "../../../src/fs/record.ts";
import { StorageLayer } from "../../../src/storage/layers/storage-layer.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";

const DAY_MS = 86_400_000;
const NOW = Date.parse("2026-11-05T12:00:00Z");

function action(details: AuditAction["details"] = {}, at = NOW): AuditAction {
  const actor = { user: "ada", host: "engine", name: "ci" };
  return { operation: "restore", outcome: "success", at: new Date(at), durationMs: 12, actor, details };
}

async function arrange(
  entries: number,
): Promise<AuditPlace & { readonly directory: string; file(number: number | "head"): string }> {
  const directory = await newDirectory();
  const place = { storage: new LocalStorage(directory), logger: silent, documents: PLAIN_DOCUMENTS };
  for (let number = 1; number <= entries; number++) await appendEntry(place, action({ number }));
  const file = (number: number | "head") =>
    join(directory, "audit", `${number === "head" ? number : String(number).padStart(10, "0")}.json`);
  return { ...place, directory, file };
}

const kinds = async (place: AuditPlace) =>
  (await verifyAuditLog(place)).problems.map(({ kind, number }) => `${kind} ${number}`);

describe("an audit log", () => {
  test("keeps what was done, by whom and when, each entry with the digest of the one before", async () => {
    const place = await arrange(3);
    const [third, second, first] = await listEntries(place, () => true);
    expect(third).toMatchObject({ ...action({ number: 3 }), number: 3, previous: second?.sha256 });
    expect([second?.previous, first?.previous]).toEqual([first?.sha256, null]);
    expect(await verifyAuditLog(place)).toEqual({
      ...{ ok: true, entries: 3, forgottenThrough: 0, problems: [] },
      newest: { number: 3, sha256: third?.sha256 },
    });
    expect(await listEntries(place, ({ details }) => details["number"] !== 3, 1)).toEqual([second]);
  });

  test("of which the store lists without end is neither checked nor gone on with", async () => {
    const place = await arrange(1);
    class Endless extends StorageLayer {
      override async *list(prefix: string) {
        for (let number = 0; ; number++)
          yield { name: `${prefix}${number}`, size: 1, modified: new Date(NOW) };
      }
    }
    const endless = { ...place, storage: new Endless(place.storage) };
    rmSync(place.file("head"));
    for (const call of [
      () => verifyAuditLog(endless),
      () => appendEntry(endless, action()),
      () => listEntries(endless, () => true),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: "CORRUPT",
        message: expect.stringContaining("lists more"),
      });
    }
  });

  test("is checked in bounded memory: what has an entry's name and is too large for one is none", async () => {
    const place = await arrange(2);
    const copy = join(place.directory, "audit", "0000000002 (copy).json");
    writeFileSync(copy, readFileSync(place.file(2)));
    truncateSync(copy, 40 * 2 ** 30); // a hole: no disk holds it
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 2 });
  });

  test("an empty one is whole", async () => {
    expect(await verifyAuditLog(await arrange(0))).toMatchObject({ ok: true, entries: 0, newest: undefined });
  });

  test("shows the entry that is missing: one in between, the first ones, the newest", async () => {
    for (const [gone, wanted] of [
      [[2], ["missing 2"]],
      [[1, 2], ["missing 1"]],
      [[4], ["missing 4"]],
      [[3, 4], ["missing 3"]],
    ] as const) {
      const place = await arrange(4);
      for (const number of gone) rmSync(place.file(number));
      expect(await kinds(place)).toEqual(wanted);
      await appendEntry(place, action()); // goes on behind what is missing, and hides nothing
      expect(await kinds(place)).toEqual(wanted);
    }
  });

  test("shows the entry that was changed, also where its checksum fits", async () => {
    const place = await arrange(4);
    const file = place.file(2);
    const before = readFileSync(file, "utf8");
    writeFileSync(file, before.replace("ada", "bob"));
    expect(await kinds(place)).toEqual(["changed 2"]);
    const { body } = JSON.parse(before) as { body: { actor: object } };
    writeFileSync(file, encodeRecord({ ...body, actor: { user: "bob", host: "engine" } }, 2));
    expect(await kinds(place)).toEqual(["changed 3"]);
    writeFileSync(place.file(4), encodeRecord({ ...body, number: 4 }, 2));
    expect(await kinds(place)).toContain("changed 4"); // by the head
    writeFileSync(file, before);
    rmSync(place.file(1));
    renameSync(file, place.file(1));
    expect(await kinds(place)).toContain("changed 1");
  });

  test("shows two entries of one number, as a synchronising program keeps them, as a fork and nothing else", async () => {
    const place = await arrange(3);
    const other = await arrange(3);
    const copy = place.file(3).replace(/\.json$/, " (ada's conflicted copy 2026-11-05).json");
    writeFileSync(copy, readFileSync(other.file(3)));
    const { problems } = await verifyAuditLog(place);
    expect(problems).toMatchObject([
      { kind: "forked", number: 3, details: expect.stringContaining("by ada on engine") },
    ]);
    writeFileSync(copy, readFileSync(place.file(3)));
    expect(await kinds(place)).toEqual([]);
  });

  test("shows that it was put back, to whom has kept its newest entry elsewhere", async () => {
    const place = await arrange(4);
    const { newest } = await verifyAuditLog(place);
    const head = readFileSync(place.file("head"));
    await appendEntry(place, action());
    expect(await verifyAuditLog(place, { expect: newest })).toMatchObject({ ok: true });
    const later = (await verifyAuditLog(place)).newest;
    rmSync(place.file(5));
    writeFileSync(place.file("head"), head);
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true });
    expect((await verifyAuditLog(place, { expect: later })).problems).toMatchObject([
      { kind: "missing", number: 5 },
    ]);
    await appendEntry(place, action());
    expect((await verifyAuditLog(place, { expect: later })).problems).toMatchObject([
      { kind: "changed", number: 5 },
    ]);
  });

  test("goes on where its head, or its newest entry, is lost or damaged", async () => {
    const place = await arrange(3);
    rmSync(place.file("head"));
    await appendEntry(place, action());
    writeFileSync(place.file("head"), "{");
    await appendEntry(place, action());
    expect(await kinds(place)).toEqual([]);
    writeFileSync(place.file(5), "{");
    await appendEntry(place, action());
    expect(await kinds(place)).toEqual(["changed 5"]);
    rmSync(place.file("head"));
    writeFileSync(place.file(6), "{");
    expect((await appendEntry(place, action())).number).toBe(7);
    expect(await kinds(place)).toEqual(["changed 5", "changed 6"]);
  });

  test("one whose head an append-only store does not replace is whole, and goes on", async () => {
    const place = await arrange(1);
    class AppendOnly extends StorageLayer {
      override write(): Promise<void> {
        return Promise.reject(new Error("it is there already"));
      }
    }
    const appendOnly = new AppendOnly(place.storage);
    for (let turn = 0; turn < 3; turn++) await appendEntry({ ...place, storage: appendOnly }, action());
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 4 });
  });

  test("writers at one moment stand behind each other", async () => {
    const place = await arrange(0);
    const writers = Array.from({ length: 12 }, () => ({
      ...place,
      storage: new LocalStorage(place.directory),
    }));
    await Promise.all(
      writers.map(async (writer, index) => {
        for (let turn = 0; turn < 3; turn++) await appendEntry(writer, action({ index, turn }));
      }),
    );
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 36 });
    const told = (await listEntries(place, () => true)).map(({ details }) => JSON.stringify(details));
    expect(new Set(told).size).toBe(36);
  });
});

describe("old entries", () => {
  async function aged(ages: readonly number[]) {
    const place = await arrange(0);
    for (const days of ages) await appendEntry(place, action({ days }, NOW - days * DAY_MS));
    return place;
  }
  const { operation: _, details: __, ...who } = action();

  test("go where that is asked for, and what stays verifies", async () => {
    const place = await aged([90, 80, 70, 20, 10]);
    expect(await forgetEntries(place, who, 60)).toBe(3);
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 3, forgottenThrough: 3 });
    expect((await listEntries(place, () => true)).map(({ operation }) => operation)).toEqual([
      "forget",
      "restore",
      "restore",
    ]);
    expect(await forgetEntries(place, who, 60)).toBe(0);
    expect(await forgetEntries(place, who, 15)).toBe(1);
    await appendEntry(place, action());
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 4, forgottenThrough: 4 });
    rmSync(place.file(5));
    expect(await kinds(place)).toEqual(["missing 5"]);
  });

  test("a writer that knows one of them alone goes on at the log's end, and leaves the head there", async () => {
    const place = await aged([90]);
    const { newest } = await verifyAuditLog(place);
    for (const days of [90, 80, 70, 70, 70, 20, 10])
      await appendEntry(place, action({}, NOW - days * DAY_MS));
    expect(await forgetEntries(place, who, 60)).toBe(6);
    expect((await appendEntry(place, action(), newest)).number).toBe(10);
    expect(await readHead(place)).toMatchObject({ number: 10 });
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 4, forgottenThrough: 6 });
  });

  test("so does one that knows them by an old head, or none at all", async () => {
    const place = await aged([90, 90]);
    const head = readFileSync(place.file("head"));
    const { newest } = await verifyAuditLog(place);
    for (const days of [90, 80, 20]) await appendEntry(place, action({}, NOW - days * DAY_MS));
    expect(await forgetEntries(place, who, 60)).toBe(4);
    writeFileSync(place.file("head"), head); // by a writer that stood still between its entry and the head
    expect((await appendEntry(place, action())).number).toBe(7);
    rmSync(place.file("head"));
    expect((await appendEntry(place, action(), newest)).number).toBe(8);
    expect(await verifyAuditLog(place)).toMatchObject({ ok: true, entries: 4, forgottenThrough: 4 });
  });

  test("one that was written under a number that was removed before is seen", async () => {
    const place = await aged([90, 80, 20]);
    expect(await forgetEntries(place, who, 60)).toBe(2);
    await entriesOf(place).writeNew(2, encodeEntry({ number: 2, previous: null }, action({}, NOW + 1), {}));
    expect(await kinds(place)).toContain("forked 2");
  });

  test("an entry stays behind which others stand already, also where the one before is lost", async () => {
    const place = await arrange(2);
    class Meanwhile extends StorageLayer {
      override async writeNew(...values: Parameters<StorageLayer["writeNew"]>): Promise<boolean> {
        const written = await super.writeNew(...values);
        rmSync(place.file(2));
        await appendEntry(place, action());
        return written;
      }
    }
    const { number } = await appendEntry({ ...place, storage: new Meanwhile(place.storage) }, action());
    expect(number).toBe(3);
    expect(await kinds(place)).toEqual(["missing 2"]);
  });

  test("one behind a younger one stays, and so does the newest", async () => {
    const place = await aged([20, 90, 80]);
    expect(await forgetEntries(place, who, 60)).toBe(0);
    const old = await aged([90, 80]);
    expect(await forgetEntries(old, who, 60)).toBe(1);
    expect(await verifyAuditLog(old)).toMatchObject({ ok: true, entries: 2 });
  });

  test("interrupted at any call, what is there verifies, and the next one goes on", async () => {
    for (let calls = 0; ; calls++) {
      const place = await aged([90, 80, 70, 20]);
      let left = calls;
      const dying = new Proxy(place.storage, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key);
          if (typeof value !== "function") return value;
          return (...values: unknown[]) => {
            if (["remove", "writeNew", "write"].includes(String(key)) && left-- === 0)
              throw new Error("killed");
            return (value as (...values: unknown[]) => unknown).apply(target, values);
          };
        },
      });
      const ended = await forgetEntries({ ...place, storage: dying }, who, 60).catch(
        (error: unknown) => error,
      );
      expect(await verifyAuditLog(place), `after ${calls} calls`).toMatchObject({ ok: true });
      await forgetEntries(place, who, 60);
      expect(await verifyAuditLog(place)).toMatchObject({ ok: true });
      expect(
        readdirSync(join(place.directory, "audit")).filter((name) => /^000000000[1-3]/.test(name)),
      ).toEqual([]);
      if (typeof ended === "number") break;
    }
  });

  test("one that is damaged stays, since nobody would know", async () => {
    const place = await aged([90, 80, 70, 20]);
    writeFileSync(place.file(2), "{");
    expect(await forgetEntries(place, who, 60)).toBe(1);
    expect(await kinds(place)).toEqual(["changed 2"]);
  });
});
