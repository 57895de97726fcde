import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Repository } from "../../../src/repository/repository.ts";
import { XattrWriter } from "../../../src/sources/files/xattrs.ts";
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
    const whole = await repository.backup({ source: tree });
    const { PATH } = process.env;
    onTestFinished(() => void Object.assign(process.env, { PATH }));
    process.env["PATH"] = place("nowhere");
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
    expect(statSync(place("back/a")).mode).toBe(statSync(join(tree, "a")).mode);
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
