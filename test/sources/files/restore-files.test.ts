import { execFileSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { decodeSnapshot } from "../../../src/engine/format/decode-snapshot.ts";
import { encodeSnapshot } from "../../../src/engine/format/encode-snapshot.ts";
import { EntryGatherer } from "../../../src/engine/format/entry-lines.ts";
import type {
  EntryAttributes,
  PartContent,
  StoredEntry,
  StoredSnapshot,
} from "../../../src/engine/snapshot.ts";
import { loadKind, type PartToRestore } from "../../../src/engine/source-kind.ts";
import { CorruptError, IoError, ValidationError } from "../../../src/errors.ts";
import { PROCESS_TOKEN } from "../../../src/fs/this-process.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { planTree } from "../../../src/sources/files/plan-tree.ts";
import { MAIN, run } from "../../cli/cli.ts";
import { runInjected } from "../../crash/injected.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { treeAt } from "../../support/trees.ts";

const TOKEN_MODULE = join(import.meta.dirname, "../../../src/fs/this-process.ts");
const isRoot = process.geteuid?.() === 0;

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  const tree = place("tree");
  mkdirSync(join(tree, "in/deep"), { recursive: true });
  writeFileSync(join(tree, "a"), "a of the snapshot");
  writeFileSync(join(tree, "in/b"), "b of the snapshot");
  writeFileSync(join(tree, "in/deep/c"), "c");
  symlinkSync("a", join(tree, "to-a"));
  const repository = await Repository.init(place("vault"), { logger: silent });
  const { id } = await repository.backup({ source: tree });
  return { place, tree, repository, id };
}

function entry(path: string, content: string, attributes?: EntryAttributes): StoredEntry {
  const sha256 = createHash("sha256").update(content).digest("hex");
  return {
    path,
    size: content.length,
    sha256,
    ...(content === "" && { pieces: [] }),
    ...(attributes && { attributes }),
  };
}

function partOf(entries: readonly StoredEntry[]): PartContent {
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return {
    source: { type: "files", id: "files:x", uri: "/tree", host: "h" },
    ...{ files: entries.length, bytes, entries, blobs: new Map() },
    about: { files: entries.length, directories: 0, links: 0 },
    details: { root: {} },
  };
}

/** As if the document's own checks had been passed by. */
async function restoreHostile(
  entries: readonly StoredEntry[],
  contents: Record<string, string>,
  target: string,
  mode: "new" | "in-place",
  contentsOf?: PartToRestore["readAll"],
) {
  const kind = await loadKind("files");
  const read = (one: StoredEntry) =>
    (async function* () {
      yield Buffer.from(contents[one.path] ?? "");
    })();
  await kind?.restore?.({
    ...{ snapshot: "20260101T000000Z-00000000", part: partOf(entries), target, mode, read },
    readAll:
      contentsOf ??
      async function* (all) {
        for (const one of all) yield { entry: one, content: read(one) };
      },
  });
}

const LINK = { link: "../outside" };

test.each([
  ["climbs by an escape", [entry("%2E%2E/x", "x")]],
  ["climbs in the middle", [entry("a/%2e%2e/%2e%2e/x", "x")]],
  ["has a slash in a name", [entry("a%2F..%2F..%2Fx", "x")]],
  ["has a NUL in a name", [entry("a%00", "x")]],
  ["has a name of nothing but a dot", [entry("%2E/x", "x")]],
  ["has no byte behind %", [entry("a%4", "x")]],
  ["lies below a symbolic link", [entry("l", "", LINK), entry("l/x", "x")]],
  ["lies below a symbolic link by another spelling", [entry("l", "", LINK), entry("%6C/x", "x")]],
  ["has the name of another by another spelling", [entry("l", "", LINK), entry("%6C", "x")]],
  ["has an attribute with a line", [entry("a", "x", { xattrs: { "user.a": "eA==\n\n# file: /x" } })]],
  ["has an attribute without a name", [entry("a", "x", { xattrs: { "": "eA==" } })]],
  ["is a link and a directory", [entry("l", "", { ...LINK, directory: true })]],
])("a snapshot with a path that %s is refused, and nothing is written", async (_what, entries) => {
  const directory = await newDirectory();
  const target = join(directory, "target");
  mkdirSync(join(directory, "outside"));
  for (const mode of ["new", "in-place"] as const) {
    if (mode === "in-place") mkdirSync(target);
    await expect(restoreHostile(entries, { "l/x": "x" }, target, mode)).rejects.toThrow(CorruptError);
    expect(Object.keys(treeAt(directory))).toEqual(mode === "new" ? ["outside"] : ["outside", "target"]);
  }
  const part = partOf(entries);
  const id = `20260101T000000Z-${createHash("sha256").update("files:x").digest("hex").slice(0, 4)}0000`;
  const software = { lancedbBackup: "1", node: "1" };
  const counts = {
    files: part.files,
    bytes: part.bytes,
    newFiles: 0,
    newBytes: 0,
    storedBytes: 0,
    durationMs: 1,
  };
  const snapshot: StoredSnapshot = {
    id,
    tags: [],
    createdAt: new Date(),
    ...counts,
    parts: [part],
    software,
  };
  const { bytes } = encodeSnapshot(snapshot, [part]);
  expect(() => decodeSnapshot(bytes, id, "document")).toThrow(CorruptError);
});

test("a link of the snapshot that leads out is made, and nothing is written through it", async () => {
  const directory = await newDirectory();
  mkdirSync(join(directory, "outside"));
  const target = join(directory, "target");
  await restoreHostile([entry("l", "", LINK), entry("x", "x")], { x: "x" }, target, "new");
  expect(readdirSync(target).sort()).toEqual(["l", "x"]);
  // Now it is in the target, and a snapshot has a directory of its name.
  const hostile = [entry("l", "", { directory: true }), entry("l/x", "x")];
  await expect(restoreHostile(hostile, { "l/x": "x" }, target, "in-place")).rejects.toThrow(ValidationError);
  await expect(restoreHostile([entry("l/x", "x")], { "l/x": "x" }, target, "in-place")).rejects.toThrow(
    ValidationError,
  );
  expect(readdirSync(join(directory, "outside"))).toEqual([]);
});

test.runIf(isRoot)(
  "as root nothing is changed but what was written, whatever has its name when modes and owners are given",
  async () => {
    const { place } = await newPlace();
    const all = { mode: 0o777, uid: 1234, gid: 1234 };
    const entries = [
      entry("in", "", { ...all, directory: true }),
      entry("in/deep", "", { ...all, directory: true }),
      entry("in/deep/x", "x", { ...all, xattrs: { "user.x": "MQ==" } }),
    ];
    const outside = ["", "/x", "/deep", "/deep/x"].map((name) => place(`outside${name}`));
    mkdirSync(place("outside/deep"), { recursive: true });
    for (const path of ["x", "deep/x"]) writeFileSync(place(`outside/${path}`), "theirs");
    for (const path of outside) chmodSync(path, 0o700);
    const looks = () => outside.map((path) => [statSync(path).mode & 0o777, statSync(path).uid]);
    const before = looks();
    const swaps: ((root: string) => void)[] = [
      (root) => symlinkSync(place("outside/x"), join(root, "in/deep/x")),
      (root) => linkSync(place("outside/x"), join(root, "in/deep/x")),
      (root) => symlinkSync(place("outside"), join(root, "in/deep")),
      (root) => symlinkSync(place("outside"), join(root, "in")),
    ];
    for (const [index, swap] of swaps.entries()) {
      const target = place("new");
      const restored = restoreHostile(entries, { "in/deep/x": "x" }, target, "new", async function* (all) {
        for (const one of all) yield { entry: one, content: [Buffer.from("x")] };
        const [partial = ""] = readdirSync(place("")).filter((name) => name.startsWith("new.partial"));
        const root = join(place(partial), readdirSync(place(partial))[0] ?? "");
        const path = ["in/deep/x", "in/deep/x", "in/deep", "in"][index] ?? "";
        renameSync(join(root, path), place(`away-${index}`));
        swap(root);
      });
      await expect(restored, String(swap)).rejects.toThrow(/was replaced by something else/);
      await expect(restored).rejects.toThrow(IoError);
      expect(looks(), String(swap)).toEqual(before);
      expect(existsSync(target)).toBe(false);
    }
  },
);

test("a content that is not what the snapshot says leaves the target as it was", async () => {
  const directory = await newDirectory();
  const target = join(directory, "target");
  await expect(restoreHostile([entry("x", "right")], { x: "wrong" }, target, "new")).rejects.toThrow(
    CorruptError,
  );
  expect(readdirSync(directory)).toEqual([]);
  mkdirSync(target);
  writeFileSync(join(target, "x"), "before");
  await expect(restoreHostile([entry("x", "right")], { x: "wrong" }, target, "in-place")).rejects.toThrow(
    CorruptError,
  );
  expect(treeAt(target)).toMatchObject({ x: { size: 6 } });
  expect(readdirSync(target)).toEqual(["x"]);
});

test("in place files go back one by one, what the snapshot does not have stays, and halves of the dead are swept", async () => {
  const { place, tree, repository, id } = await newPlace();
  const before = treeAt(tree);
  writeFileSync(join(tree, "a"), "written since");
  rmSync(join(tree, "in/b"));
  rmSync(join(tree, "to-a"));
  symlinkSync("elsewhere", join(tree, "to-a"));
  writeFileSync(join(tree, "in/mine"), "mine");
  const own = join(tree, `in/.lancedb-backup-restore-${PROCESS_TOKEN}.${randomUUID()}`);
  writeFileSync(own, "of a process that lives");
  const token = `import { PROCESS_TOKEN } from ${JSON.stringify(TOKEN_MODULE)}; process.stdout.write(PROCESS_TOKEN);`;
  const dead = execFileSync(process.execPath, ["--input-type=module", "-e", token], { encoding: "utf8" });
  const half = join(tree, `in/.lancedb-backup-restore-${dead}.${randomUUID()}`);
  writeFileSync(half, "of a dead one");
  const above = join(tree, `.lancedb-backup-restore-${dead}.${randomUUID()}`);
  writeFileSync(above, "of a dead one");
  const named = join(tree, "in/.lancedb-backup-restore-notes");
  writeFileSync(named, "of somebody who likes the name");
  const directory = join(tree, `.lancedb-backup-restore-${dead}.${randomUUID()}`);
  mkdirSync(directory);
  const report = await repository.restore("latest", { target: tree, mode: "in-place" });
  expect(report).toMatchObject({ snapshot: id, mode: "in-place" });
  expect([own, half, above].filter(existsSync)).toEqual([own]);
  const again = await repository.backup({ source: tree });
  expect(again.files).toBe(Object.keys(before).length + 3); // in/mine, those that have but the name, and nothing half
  rmSync(own);
  rmSync(named);
  rmdirSync(directory);
  expect(readFileSync(join(tree, "in/mine"), "utf8")).toBe("mine");
  rmSync(join(tree, "in/mine"));
  await repository.restore(id, { target: tree, mode: "in-place" });
  expect(treeAt(tree)).toEqual(before);
  await expect(repository.restore(id, { target: place("nowhere"), mode: "in-place" })).rejects.toThrow(
    ValidationError,
  );
});

test("what cannot take a file is told before anything is written", async () => {
  const { tree, repository, id } = await newPlace();
  writeFileSync(join(tree, "a"), "written since");
  rmSync(join(tree, "in"), { recursive: true });
  symlinkSync("/tmp", join(tree, "in"));
  await expect(repository.restore(id, { target: tree, mode: "in-place" })).rejects.toThrow(
    /in is a symbolic link/,
  );
  await expect(repository.restore(id, { target: tree })).rejects.toThrow(/not empty/);
  expect(readFileSync(join(tree, "a"), "utf8")).toBe("written since");
});

test("some paths alone come back, with the directories above them", async () => {
  const { place, repository, id } = await newPlace();
  await repository.restore(id, { target: place("some"), paths: ["./in/deep/", "to-a"] });
  expect(Object.keys(treeAt(place("some")))).toEqual(["in", "in/deep", "in/deep/c", "to-a"]);
  await expect(repository.restore(id, { target: place("x"), paths: ["in", "d"] })).rejects.toThrow(
    /has no "d"/,
  );
  await expect(repository.restore(id, { target: place("x"), paths: [] })).rejects.toThrow(ValidationError);
  expect(existsSync(place("x"))).toBe(false);
});

test("some paths alone are chosen of a part of very many, whose entries are made when they are asked for", async () => {
  const all = [
    entry("a", "a"),
    entry("in", "", { directory: true }),
    entry("in/b", "b"),
    entry("in/deep", "", { directory: true }),
    entry("in/deep/c", "c"),
    entry("to-a", "", { link: "a" }),
  ];
  const gatherer = new EntryGatherer(all.length, 0);
  for (const one of all) gatherer.add(one, () => 0);
  const source = { type: "file", id: "x", uri: "/tree", host: "here" };
  const part: PartContent = {
    ...{ source, files: all.length, bytes: 3, about: {}, details: { root: {} }, blobs: new Map() },
    entries: gatherer.list(),
  };
  const target = join(await newDirectory(), "target");
  const plan = planTree({ part, target, paths: ["./in/deep/", "to-a"] });
  const pathsOf = (list: readonly StoredEntry[]) => list.map(({ path }) => path);
  expect([plan.directories, plan.files, plan.links].map(pathsOf)).toEqual([
    ["in", "in/deep"],
    ["in/deep/c"],
    ["to-a"],
  ]);
});

test.runIf(isRoot)(
  "as root the owner of the target is taken, or the snapshot's where that is asked for",
  async () => {
    const { place, tree, repository } = await newPlace();
    chownSync(join(tree, "a"), 1234, 1235);
    chmodSync(join(tree, "a"), 0o4755);
    const { id } = await repository.backup({ source: tree });
    mkdirSync(place("theirs"));
    chownSync(place("theirs"), 4321, 4322);
    await repository.restore(id, { target: place("theirs/new") });
    const taken = statSync(place("theirs/new/a"));
    expect([taken.uid, taken.gid, taken.mode & 0o7777]).toEqual([4321, 4322, 0o755]);
    const asked = await run(["restore", id, place("kept"), "--owner", "--repo", place("vault")]);
    expect(asked).toMatchObject({ code: 0 });
    const kept = statSync(place("kept/a"));
    expect([kept.uid, kept.gid, kept.mode & 0o7777]).toEqual([1234, 1235, 0o4755]);
  },
);

test.runIf(isRoot)("what cannot be read fails the backup, or is left out and named", async () => {
  const { place, tree } = await newPlace();
  for (const path of ["", "tree", "vault"]) chmodSync(place(path), 0o777);
  chmodSync(join(tree, "a"), 0o600);
  chmodSync(join(tree, "in/deep"), 0o700);
  const options = { uid: 65534 };
  await run(["init", "--repo", place("theirs")], options);
  const refused = await run(["backup", tree, "--repo", place("theirs")], options);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/permission denied/) });
  const partly = await run(
    ["backup", tree, "--repo", place("theirs"), "--on-unsupported", "leave-out"],
    options,
  );
  expect(partly.code).toBe(4);
  expect(partly.stdout).toMatch(
    /Not in the snapshot: a: .*\n.*Not in the snapshot: in\/deep: |in\/deep: .*\n.*a: /,
  );
});

/** Of all steps of a restore, those at which it is killed. */
const killsOf = (steps: number): readonly number[] =>
  process.env["NIGHTLY"] === "1"
    ? Array.from({ length: steps }, (_, index) => index + 1)
    : [Math.ceil(steps * 0.4), Math.ceil(steps * 0.8)];

test.each(["new", "in-place"] as const)(
  "a death at any moment of a restore (%s) leaves nothing half, and the next takes away what is left",
  async (mode) => {
    const { place, tree, repository, id } = await newPlace();
    const whole = treeAt(tree);
    const target = place("target");
    const arrange = () => {
      rmSync(target, { recursive: true, force: true });
      if (mode === "new") return {};
      mkdirSync(join(target, "in"), { recursive: true });
      for (const name of ["a", "in/b", "in/mine"]) writeFileSync(join(target, name), "of before");
      return treeAt(target);
    };
    const to = mode === "in-place" ? [target, "--in-place", "--yes", "--other-source"] : [target];
    const argv = [process.execPath, MAIN, "restore", id, ...to, "--repo", place("vault")];
    arrange();
    const { calls = 0 } = await runInjected(argv, { root: target, at: 0 });
    expect(calls).toBeGreaterThan(10);
    const wrong: unknown[] = [];
    for (const at of killsOf(calls)) {
      const before = arrange();
      const { hit, signal, stderr } = await runInjected(argv, { root: target, at });
      expect(signal, stderr).toBe("SIGKILL");
      const there = existsSync(target) ? treeAt(target) : {};
      for (const [path, found] of Object.entries(there)) {
        const { sha256 = "" } = found as { sha256?: string };
        const known = [before[path], whole[path]] as { sha256?: string }[];
        const isHalf = path.includes(".lancedb-backup-restore-");
        if (!isHalf && !known.some((one) => one && (one.sha256 ?? "") === sha256)) wrong.push([hit, path]);
      }
      for (const path of Object.keys(before)) if (!(path in there)) wrong.push([hit, path, "gone"]);
      if (mode === "new" && existsSync(target)) {
        expect(Object.keys(there)).toEqual(Object.keys(whole));
        rmSync(target, { recursive: true });
      }
      await repository.restore(id, { target, mode });
      const mine = mode === "new" ? {} : { "in/mine": before["in/mine"] };
      expect(treeAt(target), hit).toEqual({ ...whole, ...mine });
      expect(readdirSync(place("")).sort(), hit).toEqual(["target", "tree", "vault"]);
    }
    expect(wrong).toEqual([]);
  },
);

test.each(["new", "in-place"] as const)(
  "a disk that is full in the middle of a restore (%s) leaves what was there, and nothing half",
  async (mode) => {
    const mount = await otherFileSystem("1m");
    if (!mount) return;
    const target = join(mount, "target");
    if (mode === "in-place") {
      mkdirSync(target);
      for (const name of ["a", "b"]) writeFileSync(join(target, name), "of before");
    }
    const large = "x".repeat(100_000);
    const entries = [entry("a", "new"), entry("b", large)];
    async function* readAll() {
      yield { entry: entries[0] as StoredEntry, content: [Buffer.from("new")] };
      const filler = openSync(join(mount as string, "filler"), "w");
      try {
        for (;;) writeSync(filler, Buffer.alloc(4096));
      } catch (error) {
        expect(error).toMatchObject({ code: "ENOSPC" });
      } finally {
        closeSync(filler);
      }
      yield { entry: entries[1] as StoredEntry, content: [Buffer.from(large)] };
    }
    const failed = await restoreHostile(entries, {}, target, mode, readAll).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(IoError);
    expect(failed).toMatchObject({ errno: "ENOSPC", message: expect.stringMatching(/disk .*full/) });
    expect(readdirSync(mount).sort()).toEqual(mode === "new" ? ["filler"] : ["filler", "target"]);
    if (mode === "new") return;
    expect(readdirSync(target).sort()).toEqual(["a", "b"]);
    expect([readFileSync(join(target, "a"), "utf8"), readFileSync(join(target, "b"), "utf8")]).toEqual([
      "new",
      "of before",
    ]);
  },
);

test.runIf(isRoot)(
  "directories that keep their owner out are tested, restored and swept by who is not root",
  async () => {
    const { place, tree } = await newPlace();
    for (const path of ["", "tree"]) chmodSync(place(path), 0o777);
    const options = { uid: 65534 };
    mkdirSync(join(tree, "closed/inner"), { recursive: true });
    writeFileSync(join(tree, "closed/inner/x"), "x");
    for (const path of ["closed/inner", "closed"]) chmodSync(join(tree, path), 0o555);
    const repo = ["--repo", place("theirs")];
    await run(["init", ...repo], options);
    await run(["backup", tree, ...repo], options);
    const verified = await run(["verify", "latest", "--restore-test", ...repo], options);
    expect(verified, verified.stdout + verified.stderr).toMatchObject({ code: 0 });
    expect(readdirSync(place("theirs")).filter((name) => name.startsWith(".open-"))).toEqual([]);
    expect(await run(["restore", "latest", place("back"), ...repo], options)).toMatchObject({ code: 0 });
    expect(treeAt(place("back"))).toEqual(treeAt(tree));
  },
);
