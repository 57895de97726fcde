import { readFile } from "node:fs/promises";
import { join } from "node:path";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import { parseBytes, parseFraction, parseMoment } from "../../src/cli/arguments.ts";
import { failureOf } from "../../src/cli/failure.ts";
import { Interrupted } from "../../src/cli/interrupt.ts";
import { formatJson } from "../../src/cli/output/json.ts";
import { restoredTables } from "../../src/cli/output/restored-tables.ts";
import { Screen } from "../../src/cli/output/screen.ts";
import { barLine, showProgress } from "../../src/cli/output/show-progress.ts";
import { formatTable } from "../../src/cli/output/table.ts";
import { terminalOf } from "../../src/cli/output/terminal.ts";
import { CorruptError, IoError, LockedError, RestoreError } from "../../src/errors.ts";
import { advice, type Hint } from "../../src/hint.ts";
import { adviceOf } from "../../src/util/advice-of.ts";
import { formatAge, formatBytes, formatDuration } from "../../src/util/format.ts";

const plain = terminalOf({ isTTY: false, columns: 80 }, {}, { color: true });

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [9949, "9.9 kB"],
  [9951, "10 kB"],
  [999_499, "999 kB"],
  [999_500, "1.0 MB"],
  [3.4e12, "3.4 TB"],
])("%d bytes: %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0, "0 ms"],
  [999.4, "999 ms"],
  [999.6, "1.0 s"],
  [12_345, "12 s"],
  [59_600, "1 min"],
  [200_000, "3 min 20 s"],
  [7_500_000, "2 h 5 min"],
  [273_600_000, "3 d 4 h"],
])("%d milliseconds: %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test("how long ago", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  expect(formatAge(new Date(now - 30_000), now)).toBe("just now");
  expect(formatAge(new Date(now - 200 * 60_000), now)).toBe("3 h ago");
  expect(formatAge(new Date(now + 1), now)).toBe("just now");
});

describe("moments", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  test.each([
    ["2026-11-21T02:30:00Z", "2026-11-21T02:30:00.000Z"],
    ["2026-11-21 02:30+02:00", "2026-11-21T00:30:00.000Z"],
    ["90m", "2026-11-21T10:30:00.000Z"],
    ["2h ago", "2026-11-21T10:00:00.000Z"],
    ["1w", "2026-11-14T12:00:00.000Z"],
    ["2026-11-21", new Date(2026, 10, 21).toISOString()],
    ["2024-02-29 02:30", new Date(2024, 1, 29, 2, 30).toISOString()],
  ])("%s", (text, moment) => expect(parseMoment(text, now).toISOString()).toBe(moment));

  test.each(["9999999999999d"])("%j is before all calendars", (text) =>
    expect(() => parseMoment(text, now)).toThrow("too long ago"),
  );

  test.each(["", "yesterday", "2026-02-29", "2026-13-01", "2026-11-21 25:00", "2026", "5", "2 years"])(
    "%j is none",
    (text) => expect(() => parseMoment(text, now)).toThrow("It must be a moment"),
  );
});

test("sizes and parts", () => {
  expect(["1500", "1.5 kB", "2GiB", "3mb"].map(parseBytes)).toEqual([1500, 1500, 2 ** 31, 3e6]);
  expect(["0", "0.1", "10%", "1", "100%"].map(parseFraction)).toEqual([0, 0.1, 0.1, 1, 1]);
  for (const bad of ["", "-1", "1 XB", "1e3"]) expect(() => parseBytes(bad)).toThrow("It must be a size");
  for (const bad of ["", "2", "101%", "-1"])
    expect(() => parseFraction(bad)).toThrow("It must be a fraction");
});

describe("a table", () => {
  const rows = [
    { name: "短い名前", size: "1 kB" },
    { name: "a\u001b[31mb\nc", size: "10 kB" },
  ];
  const columns = [
    { title: "NAME", value: (row: (typeof rows)[0]) => row.name, least: 5 },
    { title: "NONE", value: () => "" },
    { title: "SIZE", value: (row: (typeof rows)[0]) => row.size, align: "right" },
  ] as const;

  test("is lined up by what a terminal shows, without empty columns and without what would steer it", () => {
    expect(formatTable(plain, columns, rows).split("\n")).toEqual([
      "NAME        SIZE",
      "短い名前    1 kB",
      "a\ufffd[31mb c  10 kB",
    ]);
  });

  test.each([12, 14, 16])("fits %d columns", (width) => {
    const narrow = terminalOf({ isTTY: true, columns: width }, { NO_COLOR: "1" }, { color: true });
    for (const line of formatTable(narrow, columns, rows).split("\n")) {
      expect(stringWidth(line)).toBeLessThanOrEqual(width);
    }
  });
});

describe("progress", () => {
  const progress = { phase: "read", files: 1234, bytes: 1.2e9, totalFiles: 5000, totalBytes: 4e9 } as const;

  test("the bar says files, bytes, rate and time left, as far as they fit", () => {
    const whole = barLine(progress, 10_000, 200);
    expect(whole).toBe(
      "Reading  [#######-----------------]  30%  1,234 of 5,000 files  1.2 GB of 4.0 GB  120 MB/s  23 s left",
    );
    for (const columns of [20, 40, 60, 80])
      expect(barLine(progress, 10_000, columns).length).toBeLessThanOrEqual(columns);
    expect(barLine(progress, 10_000, 80)).toContain("5,000 files");
    for (const columns of [39, 60]) expect(barLine(progress, 10_000, columns)).toMatch(/30%.* 120 MB\/s/);
  });

  test("elsewhere than on a terminal there is a line every ten seconds, and one at the end", () => {
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text) } as unknown as NodeJS.WritableStream;
    let now = 0;
    const display = showProgress(new Screen(stream as never, plain), () => now);
    for (const seconds of [0, 5, 9, 11, 12, 25]) {
      now = seconds * 1000;
      display.onProgress({ ...progress, files: seconds * 100 });
    }
    display.end();
    expect(written).toEqual([
      "Reading, 1,100 of 5,000 files, 1.2 GB of 4.0 GB, 109 MB/s, 26 s left\n",
      "Reading, 2,500 of 5,000 files, 1.2 GB of 4.0 GB, 48 MB/s, 58 s left\n",
      "Reading: 2,500 files, 1.2 GB\n",
    ]);
  });
});

test("what a command needs and is not installed is told with what to do", () => {
  const error = new Error("Cannot find package '@lancedb/lancedb' imported from /x/y.js");
  expect(failureOf(error, "")).toMatchObject({
    exitCode: 1,
    message: expect.stringContaining("npm install @lancedb/lancedb apache-arrow"),
  });
});

test("an error whose cause is Ctrl-C is an interruption; one that stopped half-way says where", () => {
  const wrapped = new IoError("Could not write x.", { cause: new Interrupted() });
  expect(failureOf(wrapped, "Nothing was done.")).toMatchObject({
    exitCode: 130,
    message: "Interrupted. Nothing was done.",
  });
  const half = new RestoreError("Restored in part.", { restoreError: new Interrupted(), backupPath: "/x" });
  expect(failureOf(half, "")).toMatchObject({ exitCode: 130, message: "Interrupted. Restored in part." });
});

test("JSON: times in UTC, errors by code", () => {
  const value = { at: new Date(0), n: 12n, error: new CorruptError("bad", { path: "x" }), none: undefined };
  expect(JSON.parse(formatJson(value))).toEqual({
    at: "1970-01-01T00:00:00.000Z",
    n: "12",
    error: { name: "CorruptError", code: "CORRUPT", message: "bad", path: "x" },
  });
});

const database = "/data/a db";
test.each<[hint: Hint, call: string, words: string, ofCommand?: string]>([
  [{ call: "init", repository: "/v" }, "Repository.init()", "`lancedb-backup init /v`"],
  [{ call: "recover" }, "recover()", "`lancedb-backup recover <database>`"],
  [
    { call: "recover", database, options: { force: true } },
    "recover({ force: true })",
    "`lancedb-backup recover '/data/a db' --force`",
  ],
  [
    { call: "recover", database: "/db", options: { onConflict: "keep" } },
    'recover({ onConflict: "keep" })',
    "`lancedb-backup recover /db --keep`",
  ],
  [
    { call: "restoreBackup", id: "backup_1", database: "/db" },
    'restoreBackup("backup_1")',
    "`lancedb-backup undo restore /db backup_1`",
  ],
  [{ call: "cleanupBackup", id: "b" }, 'cleanupBackup("b")', "`lancedb-backup undo clean <database> b`"],
  [
    { call: "delete", id: "2026-x", repository: "/v" },
    'delete("2026-x")',
    "`lancedb-backup delete 2026-x --repo /v`",
  ],
  [{ call: "unpin", id: "s", repository: "/v" }, 'unpin("s")', "`lancedb-backup unpin s --repo /v`"],
  [{ call: "unlock", repository: "/v" }, "unlock()", "`lancedb-backup unlock --repo /v`"],
  [{ options: { source: null } }, "with the option source", "with --source", "restore"],
  [{ options: { snapshot: null } }, "with the option snapshot", "with --snapshot", "scrub"],
  [{ options: { primaryKey: null } }, "with the option primaryKey", "with --key", "restore"],
  [{ options: { link: false } }, "with link: false", "without --link", "restore"],
  [{ options: { link: "copy" } }, 'with link: "copy"', 'with link: "copy"', "restore"],
  [{ options: { mode: "new" } }, 'with mode: "new"', "without --in-place", "restore"],
  [{ options: { history: "latest" } }, 'with history: "latest"', "with --latest-only", "backup"],
  [{ options: { tables: null } }, "with the option tables", "with --table", "backup"],
  [{ options: { exclude: null } }, "with the option exclude", "with --exclude", "backup"],
  [{ options: { allowEmpty: true } }, "with allowEmpty: true", "with --allow-empty", "backup"],
  [{ options: { failOnShrink: false } }, "with failOnShrink: false", "without --fail-on-shrink", "backup"],
  [{ options: { force: true } }, "with force: true", "with --force", "prune"],
  [
    { options: { onConflict: "overwrite" } },
    'with onConflict: "overwrite"',
    "without --fail-on-conflict",
    "undo restore",
  ],
])("a hint is told as a call, and by the command as its own: %j", async (hint, call, words, ofCommand) => {
  const inner = new LockedError(advice`It is busy: ${hint}, $& and ${3}.`);
  expect(inner).toMatchObject({ message: `It is busy: ${call}, $& and 3.`, hints: [hint] });
  const outer = new IoError(advice`It failed. ${adviceOf(inner)} Or ${hint}.`, { cause: inner });
  expect(failureOf(outer, "")).toMatchObject({
    message: `It failed. It is busy: ${words}, $& and 3. Or ${words}.`,
    hints: [hint, hint],
  });
  expect(JSON.parse(JSON.stringify(inner)).hints).toEqual([hint]);
  const [, ...line] = words.startsWith("`") ? words.slice(1, -1).split(" ") : [];
  const command = ofCommand ?? line.slice(0, line[0] === "undo" ? 2 : 1).join(" ");
  const sections = (await readFile(join(import.meta.dirname, "../../docs/cli.md"), "utf8")).split(/^## /m);
  const help = sections.find((section) => section.startsWith(`lancedb-backup ${command}\n`));
  expect(help).toBeDefined();
  for (const [flag] of words.matchAll(/--[a-z-]+/g)) expect(help).toMatch(new RegExp(`${flag}(?![a-z-])`));
});

test("what others call hints is none", () => {
  const theirs = Object.assign(new Error("It failed."), { hints: ["try again", { call: "recover" }] });
  expect(adviceOf(theirs)).toEqual({ text: "It failed.", hints: [] });
});

test("versions of others are reachable by number, but not where their table has gone", () => {
  const back = { table: "a", action: "restore", version: 9, passedOver: [7, 8] } as const;
  const gone = { table: "b", action: "drop", version: undefined, passedOver: [2] } as const;
  expect(restoredTables([back, gone])).toEqual([
    "  a: is as it was, now version 9; passed over, and reachable by number: 7, 8",
    expect.stringMatching(/^ {2}b: is gone again; .*below \.lancedb-backup\/aside\/others .*: 2$/),
  ]);
});

test("an error without hints has none in its JSON", () => {
  expect(JSON.parse(JSON.stringify(new IoError("bad")))).toEqual({
    name: "IoError",
    code: "IO",
    message: "bad",
  });
});
