import { execFileSync, spawnSync } from "node:child_process";
import fs, {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Repository } from "../../../src/repository/repository.ts";
import { Owners, writeFile } from "../../../src/sources/files/place-file.ts";
import { readXattrs, XattrWriter } from "../../../src/sources/files/xattrs.ts";
import { run } from "../../cli/cli.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { readerOfTheDocs } from "../../support/documented-reader.ts";

const isRoot = process.geteuid?.() === 0;
const isThere = spawnSync("setfattr", ["--version"]).status === 0;
if (!isThere) console.warn("skipped, since there are no getfattr and setfattr here (package attr)");

const ACCESS_LIST = "system.posix_acl_access";
/** user::rw-, user 1001:rwx, group::r--, mask::rwx, other::r-- */
const LIST = "0x0200000001000600ffffffff02000700e903000004000400ffffffff10000700ffffffff20000400ffffffff";

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  mkdirSync(join(place("tree"), "in"), { recursive: true });
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(place("vault"), { logger });
  return { place, tree: place("tree"), repository, logged };
}

/** @param value hexadecimal, with 0x; else as it is. */
function mark(path: string | Buffer, name: string, value: string): void {
  // Names that are no text go through a shell's printf.
  const octal = Array.from(
    Buffer.from(path as string),
    (byte) => `\\${byte.toString(8).padStart(3, "0")}`,
  ).join("");
  execFileSync("sh", ["-c", 'exec setfattr -h -n "$1" -v "$2" "$(printf "$3")"', "sh", name, value, octal]);
}

function withEnvironment(variables: Record<string, string>): void {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  onTestFinished(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  Object.assign(process.env, variables);
}

/** A program of this name in a directory of its own. */
function withProgram(directory: string, name: string, script: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** All that there is below a directory, but what its own security modules say. */
function marksBelow(root: string, pattern = "^(user|trusted|system|security.capability)"): string[] {
  const args = ["--dump", "-h", "-R", "-m", pattern, "-e", "base64", "."];
  return execFileSync("getfattr", args, { cwd: root }).toString("latin1").split("\n\n").sort();
}

test.runIf(isThere)(
  "extended attributes come back: names and values of any bytes, of files, directories and the root",
  async () => {
    const { place, tree, repository, logged } = await newPlace();
    const odd = Buffer.concat([
      Buffer.from(`${tree}/in/`),
      Buffer.from([0x61, 0xff, 0x0a, 0x3d, 0x5c, 0x25]),
    ]);
    for (const path of [join(tree, "a"), join(tree, "plain"), odd]) writeFileSync(path, "x");
    linkSync(join(tree, "a"), join(tree, "in/other-a"));
    mark(join(tree, "a"), "user.mime_type", "text/plain");
    mark(join(tree, "a"), "user.empty", "");
    mark(join(tree, "in"), "user.of a directory", "d");
    mark(odd, 'user.we=ird "%41é\\', "0x00ff0a3d");
    mark(tree, "user.root", "r");
    chmodSync(join(tree, "a"), 0o400);
    const before = marksBelow(tree);
    expect(before.length).toBe(6); // five names, and the end

    const taken = await repository.backup({ source: tree });
    const [part] = (await readerOfTheDocs(place(""))).readSnapshot(place("vault"), taken.id);
    expect(part?.xattrs).toEqual(
      new Map([
        ["a", { "user.empty": "", "user.mime_type": Buffer.from("text/plain").toString("base64") }],
        ["in", { "user.of a directory": "ZA==" }],
        ["in/a%FF\n=%5C%25", { 'user.we=ird "%2541é\\': "AP8KPQ==" }],
        ["in/other-a", { "user.empty": "", "user.mime_type": "dGV4dC9wbGFpbg==" }],
      ]),
    );

    const report = await repository.restore(taken.id, { target: place("back") });
    expect(report).toMatchObject({ leftOut: [] });
    expect(marksBelow(place("back"))).toEqual(before);
    expect(statSync(place("back/a")).mode & 0o7777).toBe(0o400);
    expect(statSync(place("back/a")).mtimeMs).toBeCloseTo(statSync(join(tree, "a")).mtimeMs, 0);

    rmSync(place("back/a"));
    writeFileSync(place("back/a"), "another");
    await repository.restore(taken.id, { target: place("back"), mode: "in-place" });
    expect(marksBelow(place("back"))).toEqual(before);

    const tested = (await repository.verify(taken.id, { restoreTest: true })).find(
      ({ check }) => check === "restore:files",
    );
    expect(tested).toMatchObject({
      ok: true,
      details: expect.stringMatching(/with the extended attributes of 4\.$/),
    });

    mark(join(tree, "plain"), "user.late", "l");
    const again = await repository.backup({ source: tree });
    expect(again).toMatchObject({ newBytes: 0 });
    await repository.restore(again.id, { target: place("late"), paths: ["plain"] });
    expect(marksBelow(place("late"))).toEqual(["", "# file: plain\nuser.late=0sbA=="]);
    expect(logged.filter(({ level }) => level === "warn")).toEqual([]);
  },
);

test.runIf(isThere && isRoot)(
  "who is not root keeps attributes of files that nobody may write to, and gives them back",
  async () => {
    const { place, tree } = await newPlace();
    writeFileSync(join(tree, "a"), "x");
    mark(join(tree, "a"), "user.one", "1");
    mark(join(tree, "a"), "trusted.two", "2");
    mark(join(tree, "in"), "user.three", "3");
    for (const path of ["", "tree"]) chmodSync(place(path), 0o777);
    for (const path of ["a", "in", ""]) execFileSync("chown", ["65534:65534", join(tree, path)]);
    chmodSync(join(tree, "a"), 0o444);
    const [repo, options] = [["--repo", place("theirs")], { uid: 65534 }];
    await run(["init", ...repo], options);
    expect(await run(["backup", tree, ...repo], options)).toMatchObject({ code: 0 });
    for (const target of [
      [place("back")],
      ["--target-url", place("back"), "--in-place", "--yes", "--other-source"],
    ]) {
      const restored = await run(["restore", "latest", ...target, ...repo], options);
      expect(restored, restored.stderr).toMatchObject({ code: 0 });
      expect(marksBelow(place("back"), "-")).toEqual([
        "",
        "# file: a\nuser.one=0sMQ==",
        "# file: in\nuser.three=0sMw==",
      ]);
    }
  },
);

test.runIf(isThere && isRoot)(
  "who may do what with a file comes back with its owner, and without widens for nobody",
  async () => {
    const { place, tree, repository } = await newPlace();
    for (const name of ["listed", "able"]) writeFileSync(join(tree, name), "x");
    symlinkSync("nowhere", join(tree, "link"));
    chmodSync(join(tree, "able"), 0o755);
    mark(join(tree, "listed"), ACCESS_LIST, LIST);
    mark(join(tree, "in"), "system.posix_acl_default", LIST);
    mark(join(tree, "able"), "security.capability", "0x0100000200040000000000000000000000000000");
    mark(join(tree, "link"), "trusted.of", "link");
    const { id } = await repository.backup({ source: tree });
    await repository.restore(id, { target: place("theirs"), targetOptions: { owner: true } });
    expect(marksBelow(place("theirs"))).toEqual(marksBelow(tree));
    expect(statSync(place("theirs/listed")).mode).toBe(statSync(join(tree, "listed")).mode);

    await repository.restore(id, { target: place("plain") });
    expect(marksBelow(place("plain"))).toEqual([""]);
    expect(statSync(join(tree, "listed")).mode & 0o777).toBe(0o674);
    expect(statSync(place("plain/listed")).mode & 0o777).toBe(0o644);
    const tested = await repository.verify(id, { restoreTest: true });
    expect(tested.filter(({ ok }) => !ok)).toEqual([]);
  },
);

test.runIf(isThere)(
  "where the programs are missing, the log says so once, the snapshot, and a restore",
  async () => {
    const { place, tree, repository, logged } = await newPlace();
    writeFileSync(join(tree, "a"), "x");
    mark(join(tree, "a"), "user.one", "1");
    mark(join(tree, "a"), ACCESS_LIST, LIST);
    mark(join(tree, "in"), ACCESS_LIST, LIST);
    mark(tree, ACCESS_LIST, LIST);
    chmodSync(tree, 0o755);
    const whole = await repository.backup({ source: tree });
    withEnvironment({ PATH: place("nowhere") });
    const told = () => logged.filter(({ message }) => message.includes("extended attributes"));
    await repository.backup({ source: tree });
    await repository.backup({ source: tree });
    expect(told().map(({ meta }) => meta)).toEqual([
      expect.objectContaining({ unread: "There is no program getfattr." }),
    ]);
    const { leftOut } = await repository.restore(whole.id, { target: place("back") });
    expect(leftOut).toEqual([
      {
        table: "extended attributes",
        what: expect.stringMatching(/not restored: There is no program setfattr/),
      },
    ]);
    expect(statSync(place("back/a")).mtimeMs).toBeCloseTo(statSync(join(tree, "a")).mtimeMs, 0);

    // The group's bits of the mode are the lists', which are not there.
    mkdirSync(place("there/in"), { recursive: true });
    chmodSync(place("there/in"), 0o777);
    await repository.restore(whole.id, { target: place("theirs"), targetOptions: { owner: true } });
    await repository.restore(whole.id, {
      ...{ target: place("there"), mode: "in-place", targetOptions: { owner: true } },
    });
    expect(statSync(join(tree, "a")).mode & 0o777).toBe(0o674);
    for (const path of ["theirs/a", "theirs/in", "there/a", "there/in"])
      expect([path, statSync(place(path)).mode & 0o070]).toEqual([path, 0o040]);
    expect(statSync(place("theirs")).mode & 0o777).toBe(0o745);
    const tested = await repository.verify(whole.id, { restoreTest: true });
    expect(tested.find(({ check }) => check === "restore:files")).toMatchObject({
      ok: true,
      details: expect.stringContaining("Not tested: extended attributes"),
    });
  },
);

test("what is the machine's is given to no file, whatever a snapshot says", () => {
  const xattrs = {
    "security.selinux": "eA==",
    "security.ima": "eA==",
    "btrfs.compression": "eA==",
    "system.x": "",
  };
  expect(new XattrWriter(true, undefined).has({ xattrs })).toBe(false);
  expect(new XattrWriter(true, undefined).has({ xattrs: { "trusted.x": "" } })).toBe(true);
  expect(new XattrWriter(false, undefined).has({ xattrs: { "trusted.x": "", [ACCESS_LIST]: "" } })).toBe(
    false,
  );
});

test.runIf(isThere)("neither programs nor libraries come from the files that are backed up", async () => {
  const { place, tree, repository, logged } = await newPlace();
  writeFileSync(join(tree, "a"), "x");
  mark(join(tree, "a"), "user.one", "1");
  for (const name of ["getfattr", "in/getfattr"]) withProgram(tree, name, `: >${place("was-run")}`);
  writeFileSync(join(tree, "libattr.so.1"), "none");
  for (const path of [`:.:in:${process.env["PATH"]}`, ":."]) {
    withEnvironment({ PATH: path, LD_LIBRARY_PATH: ":" });
    const { byPath, unread } = await readXattrs(tree, { oneFileSystem: true });
    expect([[...byPath.keys()], unread]).toEqual([["a"], undefined]);
  }
  const { id } = await repository.backup({ source: tree });
  await repository.restore(id, { target: place("back") });
  withEnvironment({ PATH: "/usr/bin:/bin", LD_LIBRARY_PATH: "" });
  expect(marksBelow(place("back"))).toEqual(["", "# file: a\nuser.one=0sMQ=="]);
  expect(existsSync(place("was-run"))).toBe(false);
  expect(logged.filter(({ level }) => level === "warn")).toEqual([]);
});

test("elsewhere than on Linux no program is started", async () => {
  const { place, tree } = await newPlace();
  withProgram(place("bin"), "getfattr", `: >${place("was-run")}`);
  withEnvironment({ PATH: place("bin") });
  const platform = Object.getOwnPropertyDescriptor(process, "platform") ?? {};
  Object.defineProperty(process, "platform", { ...platform, value: "darwin" });
  onTestFinished(() => void Object.defineProperty(process, "platform", platform));
  const { unread } = await readXattrs(tree, { oneFileSystem: true });
  expect([unread, existsSync(place("was-run"))]).toEqual(["They are kept on Linux only.", false]);
});

test.runIf(process.platform === "linux").each([
  ["getfattr: unrecognized option: R\\nUsage: getfattr\\n", 1, "getfattr: unrecognized option: R"],
  ["getfattr: invalid option -- R\\n", 1, "getfattr: invalid option -- R"],
  ["", 1, "getfattr ended with status 1"],
  ["", 2, "getfattr ended with status 2"],
  ["getfattr: .: Permission denied\\n", 1, "of 1 name; .: Permission denied"],
  ["./b\\377: user.x: Permission denied\\n", 1, "of 1 name; b%FF: Permission denied"],
  ["./b\\377: user.x: No data available\\n", 1, undefined],
])("what getfattr does not read is told: %j, status %i", async (said, code, unread) => {
  const { place, tree, repository, logged } = await newPlace();
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/b`), Buffer.from([0xff])]), "x");
  withProgram(place("bin"), "getfattr", `printf '${said}' >&2; exit ${code}`);
  withEnvironment({ PATH: place("bin") });
  await repository.backup({ source: tree });
  expect(logged.filter(({ level }) => level === "warn").map(({ meta }) => meta?.["unread"])).toEqual(
    unread === undefined ? [] : [unread],
  );
});

test.runIf(process.platform === "linux").each([
  ["kill -9 $$", "extended attributes are not restored, or not all: setfattr was ended by SIGKILL"],
  [
    "echo 'setfattr: bad option' >&2; echo Usage: >&2; exit 2",
    "extended attributes are not restored, or not all: setfattr: bad option",
  ],
  [
    "cat >/dev/null; printf '\\nsetfattr: /a: No space left on device\\n' >&2; exit 1",
    "1 extended attribute is not restored; setfattr: /a: No space left on device",
  ],
])("what setfattr does not give is told: %s", async (script, what) => {
  const { place } = await newPlace();
  withProgram(place("bin"), "setfattr", script);
  withEnvironment({ PATH: `${place("bin")}:${process.env["PATH"]}` });
  const writer = new XattrWriter(false, undefined);
  await writer.give([{ place: place("a"), attributes: { xattrs: { "user.x": "MQ==" } } }]);
  expect(writer.inWords()).toBe(what);
});

test.runIf(isThere)("an end that is asked for when the target has its place leaves it whole", async () => {
  const { place, tree, repository } = await newPlace();
  mark(tree, "user.root", "r");
  chmodSync(tree, 0o500);
  const { id } = await repository.backup({ source: tree });
  const stop = new AbortController();
  const look = () => (existsSync(place("back")) ? stop.abort() : void setImmediate(look));
  look();
  await repository.restore(id, { target: place("back"), signal: stop.signal }).catch(() => undefined);
  expect(stop.signal.aborted).toBe(true);
  expect(statSync(place("back")).mode & 0o777).toBe(0o500);
  expect(marksBelow(place("back"))).toEqual(marksBelow(tree));
});

test("a file that gets its mode later, and whose name is no text, is on the disk after that", async () => {
  const { place } = await newPlace();
  const calls: string[] = [];
  for (const name of ["fsyncSync", "fchmodSync"] as const) {
    const real = fs[name] as (...args: unknown[]) => void;
    const counting = (...args: unknown[]) => {
      calls.push(name);
      real(...args);
    };
    Object.assign(fs, { [name]: counting });
    onTestFinished(() => {
      Object.assign(fs, { [name]: real });
      syncBuiltinESMExports();
    });
  }
  syncBuiltinESMExports();
  const settle = await writeFile(
    Buffer.concat([Buffer.from(place("b")), Buffer.from([0xff])]),
    {
      ...{ path: "b%FF", size: 0, pieces: [] },
      sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      attributes: { mode: 0o640, xattrs: { "user.x": "MQ==" } },
    },
    [],
    { owners: new Owners(false), xattrs: new XattrWriter(false, undefined), isInPlace: false },
  );
  settle?.();
  expect(calls.slice(-2)).toEqual(["fchmodSync", "fsyncSync"]);
});
