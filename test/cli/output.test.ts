import { spawnSync } from "node:child_process";
import { readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { MAIN, run, runOnTerminal, withoutEscapes } from "./cli.ts";
import { newPlace, snapshotOf } from "./fixture.ts";

// What all commands have in common: help, wrong use, JSON, colours, width, and how long they take to start.

const ESCAPE = "\u001b[";
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

test("help names the exit codes, and every command has an example and says what --json gives", async () => {
  const { code, stdout, stderr } = await run(["--help"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^ {2}3 {4}verify, scrub, copy or audit --verify found damage$/m);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+)(?: \[options\])?(?: [[<].*?)? {2,}[A-Z]/gm)].map(
    ([, name]) => name ?? "",
  );
  expect(commands).toContain("backup");
  const groups: Readonly<Record<string, readonly string[]>> = {
    undo: ["undo list", "undo restore", "undo clean"],
    key: ["key list", "key add", "key remove", "key rotate"],
    policy: ["policy check", "policy list", "policy show"],
    page: ["page token"],
  };
  const leaves = commands.flatMap((name) => groups[name] ?? [name]);
  for (const command of leaves.filter((name) => name !== "help")) {
    const help = await run([...command.split(" "), "--help"]);
    expect(help.code, command).toBe(0);
    expect(help.stdout, command).toContain("Examples:\n  lancedb-backup ");
    expect(help.stdout, command).toContain("With --json:\n");
  }
});

describe("wrong use ends with 2 and one line that says what is wrong", () => {
  test.each([
    ["an unknown command", ["bakup"], "unknown command 'bakup' (Did you mean backup?)"],
    ["an unknown option", ["list", "--nmae", "x"], "unknown option '--nmae' (Did you mean --name?)"],
    ["no database", ["backup", "--repo", "x"], "missing required argument 'database'"],
    ["an argument too many", ["list", "x"], "too many arguments for 'list'. Expected 0 arguments but got 1."],
    [
      "no repository named",
      ["list"],
      "Which repository? Name it with --repo <directory> or in LANCEDB_BACKUP_REPO.",
    ],
    ["no repository there", ["list", "--repo", "nowhere"], "There is no repository at "],
    ["no database there", ["backup", "nowhere", "--repo", "REPO"], "There is no database at "],
    ["a bad moment", ["list", "--repo", "REPO", "--after", "2026-02-31"], "It must be a moment"],
    ["a bad count", ["list", "--repo", "REPO", "--limit", "0"], "It must be a whole number from 1."],
    ["a bad name", ["backup", "DB", "--repo", "REPO", "--name", "a b"], '"a b" is not a name'],
    ["an unknown table", ["backup", "DB", "--repo", "REPO", "--table", "x"], "There is no table x in "],
  ])("%s", async (_what, args, message) => {
    const { directory, database, repo } = await newPlace();
    const words = args.map((word) => (word === "REPO" ? repo : word === "DB" ? database : word));
    const { code, stdout, stderr } = await run(words, { cwd: directory });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`error: `);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    const json = await run([...words, "--json"], { cwd: directory });
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toEqual({
      error: {
        code: expect.stringMatching(/^(USAGE|VALIDATION)$/),
        message: expect.stringContaining(message),
      },
    });
  });

  test("no command at all: how to begin, and no failure", async () => {
    const { code, stdout, stderr } = await run([]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^ {2}lancedb-backup init .+\n {2}lancedb-backup backup /m);
    expect(stdout.split("\n").length).toBeLessThan(12);
  });
});

test("a snapshot that is not there: wrong use, in one line; --verbose adds the stack", async () => {
  const { env } = await newPlace();
  const { code, stderr } = await run(["info", "nope"], { env });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^error: .*"nope".*\n$/);
  const verbose = await run(["info", "nope", "--verbose"], { env });
  expect(verbose.stderr).toContain("BackupNotFoundError: ");
  expect(verbose.stderr).toMatch(/^ {4}at /m);
});

test("options of every command go before its name, too", async () => {
  const { env } = await newPlace();
  const { code, stdout } = await run(["--json", "list"], { env });
  expect({ code, stdout }).toEqual({ code: 0, stdout: "[]\n" });
});

describe("on a terminal", () => {
  test("there are colours, and none with NO_COLOR, --no-color or TERM=dumb", async () => {
    const place = await newPlace();
    await snapshotOf(place);
    const coloured = await runOnTerminal(["list"], { env: place.env });
    expect(coloured.stdout).toContain(ESCAPE);
    for (const [args, env] of [
      [["list"], { NO_COLOR: "1" }],
      [["list", "--no-color"], {}],
      [["list"], { TERM: "dumb" }],
    ] as const) {
      const plain = await runOnTerminal(args, { env: { ...place.env, ...env } });
      expect(plain.stdout).not.toContain(ESCAPE);
      expect(withoutEscapes(coloured.stdout)).toBe(withoutEscapes(plain.stdout));
    }
  });

  test("a table fits; elsewhere it is not cut", async () => {
    const place = await newPlace();
    await snapshotOf(
      place,
      "--name",
      "a-name-that-is-rather-long-as-names-go",
      "--tag",
      "one",
      "--tag",
      "two",
    );
    const narrow = await runOnTerminal(["list"], { env: place.env, columns: 100 });
    const lines = withoutEscapes(narrow.stdout).trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(100);
    const piped = await run(["list"], { env: { ...place.env, FORCE_COLOR: "1" } });
    expect(piped.stdout).toContain(`one two  ${place.database}\n`);
    expect(piped.stdout).not.toContain(ESCAPE);
  });

  test("progress is a bar that is gone at the end", async () => {
    const place = await newPlace();
    const { code, stdout } = await runOnTerminal(["backup", place.database], { env: place.env });
    expect(code).toBe(0);
    expect(stdout).toMatch(/\[#*-*\] +\d+%/);
    expect(
      withoutEscapes(stdout)
        .split(/[\r\n]/)
        .filter(Boolean)
        .at(-1),
    ).toMatch(/^Snapshot /);
  });
});

test("what a database is called cannot write to the terminal", async () => {
  const directory = await newDirectory();
  const { stderr } = await run(["list", "--repo", `${directory}/\u001b[31mred\u0007`]);
  expect(stderr).toContain("red");
  for (const character of ["\u001b", "\u0007"]) expect(stderr).not.toContain(character);
});

test("who reads it may stop reading", async () => {
  const { env } = await newPlace();
  const pipe = `"$0" "$@" | true; exit "\${PIPESTATUS[0]}"`;
  const shell = spawnSync("bash", ["-c", pipe, process.execPath, MAIN, "list", "--help"], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  expect({ code: shell.status, stderr: shell.stderr }).toEqual({ code: 0, stderr: "" });
});

// How long it takes: the part `command` of the bench.
test.each(["--help", "list"])(
  "%s does not load LanceDB, which takes a start half of its time",
  async (command) => {
    const place = await newPlace();
    await snapshotOf(place);
    const report = `
    import { registerHooks } from "node:module";
    import { writeSync } from "node:fs";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    process.on("exit", () => writeSync(2, JSON.stringify(loaded)));`;
    const preload = `--import=data:text/javascript,${encodeURIComponent(report)}`;
    const { stderr } = await run([command], { env: { ...place.env, NODE_OPTIONS: preload } });
    const loaded = JSON.parse(stderr) as string[];
    expect(loaded.some((url) => url.includes("/cli/"))).toBe(true);
    // What reads tables is not needed to list snapshots.
    expect(loaded.filter((url) => /@lancedb|apache-arrow/.test(url))).toEqual([]);
  },
);

test("a full disk behind standard output is an error in a line, and a backup says what was made", async () => {
  const { database, env } = await newPlace();
  const full = (words: string) =>
    spawnSync("bash", ["-c", `"$0" "$1" ${words} > /dev/full`, process.execPath, MAIN], {
      env: { ...process.env, ...env },
      encoding: "utf8",
    });
  const lost = "error: The output could not be written: the disk is full.";
  for (const words of ["list", "--help", "list --json"]) {
    expect(full(words)).toMatchObject({ status: 1, stderr: `${lost}\n` });
  }
  const backup = full(`backup ${database} --quiet`);
  expect(backup.status).toBe(1);
  expect(backup.stderr).toMatch(/^error: .* full\. Snapshot \S+ was made\.\n$/);
});

test("no name of a table reaches the terminal as it is", async () => {
  const { database, directory, env } = await newPlace();
  const name = "\u001b[31mred\u0007";
  renameSync(join(database, "words.lance"), join(database, `${name}.lance`));
  const target = join(directory, "restored");
  for (const args of [
    ["backup", database],
    ["info", "latest", "--versions"],
    ["verify", "latest", "--restore-test"],
    ["diff", "latest", "latest"],
    ["restore", "latest", target],
    ["restore", "latest", database, "--in-place", "--dry-run"],
    ["restore", "latest", database, "--in-place", "--table", "docs", "--dry-run"],
    ["scrub", target, "--snapshot", "latest"],
    ["doctor", database],
    ["recover", database, "--dry-run"],
  ]) {
    const { code, stdout, stderr } = await run(args, { env });
    expect({ args, code }).toEqual({ args, code: 0 });
    expect(stdout + stderr).not.toMatch(CONTROL);
  }
  // LanceDB opens no such name, so it is in no snapshot; that is told.
  expect((await run(["backup", database], { env })).stderr).toContain("\ufffd[31mred\ufffd");
});

test("help of a command below a command; and where --repo belongs", async () => {
  const help = await run(["help", "undo", "restore"]);
  expect(help).toEqual(await run(["undo", "restore", "--help"]));
  expect(help.stdout).toMatch(/^Usage: lancedb-backup undo restore /);
  for (const words of [
    ["--repo", "vault", "list"],
    ["-r", "vault", "list"],
    ["--repo=vault", "list"],
  ]) {
    const { code, stderr } = await run(words);
    expect(code).toBe(2);
    expect(stderr).toContain("--repo goes after the command");
  }
});

test("times are the machine's, for people; an empty repository is called so; damage is told once", async () => {
  const { database, env } = await newPlace();
  const local = { ...env, TZ: "Asia/Kolkata" };
  expect((await run(["list"], { env })).stdout).toBe("The repository has no snapshot yet.\n");
  const { createdAt } = JSON.parse((await run(["backup", database, "--json"], { env })).stdout) as {
    createdAt: string;
  };
  const there = new Date(Date.parse(createdAt) + 5.5 * 3_600_000)
    .toISOString()
    .slice(0, 19)
    .replace("T", " ");
  const doctor = await run(["doctor", database, "--repo", env["LANCEDB_BACKUP_REPO"] ?? ""], { env: local });
  expect(doctor.stdout).toContain(`the newest was taken ${there}.`);
  const past = await run(["restore", "latest", `${database}2`, "--at", "1w"], { env: local });
  expect(past.stderr).not.toMatch(/\d\.\d{3}Z/);

  const file = join(database, "words.lance/data", readdirSync(join(database, "words.lance/data"))[0] ?? "");
  rmSync(file);
  const found = await run(["scrub", database], { env });
  expect(found.code).toBe(3);
  expect(found.stderr).not.toContain("warning:");
  const mended = await run(["scrub", database, "--heal", "--yes"], { env });
  expect(mended.stdout).toContain("the file was missing, and is there again");
});

test.each([40, 80, 160])(
  "a list fits %i columns; id, time and name are whole, and the id shown is enough for every command",
  async (columns) => {
    const place = await newPlace();
    const { env } = place;
    const id = await snapshotOf(place, "--name", "nightly", "--tag", "keep");
    const { stdout } = await runOnTerminal(["list"], { env, columns });
    const lines = withoutEscapes(stdout).trimEnd().split("\n");
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns);
    const shown = /^\S+/.exec(lines.at(-1) ?? "")?.[0] ?? "";
    expect(id.endsWith(shown)).toBe(true);
    expect(lines.at(-1)).toMatch(/ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}nightly/);
    expect((await run(["info", shown], { env })).stdout).toContain(id);
    const plan = withoutEscapes(
      (await runOnTerminal(["prune", "--keep-last", "1", "--dry-run"], { env, columns })).stdout,
    );
    const row = `${columns < 100 ? id.slice(-8) : id} {2}\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d {2}nightly`;
    // What does not fit beside each other stands below each other.
    const block = `SNAPSHOT {2}${id.slice(-8)}\nTIME {6}\\S+ \\S{8}\nNAME {6}nightly\nACTION {4}keep\nWHY {7}keepLast`;
    expect(plan).toMatch(new RegExp(`^${columns < 60 ? block : row}`, "m"));
  },
);
