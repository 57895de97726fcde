import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { hasStrace } from "../crash/trace.ts";
import { newDirectory } from "../support/database.ts";

const STORAGE = join(import.meta.dirname, "../../src/storage/local-storage.ts");

/** The system calls of a program on files below `directory`, in their order, short. @param traced default: those that change files. */
function callsOf(
  directory: string,
  body: string,
  traced = "mkdir,link,rename,unlink,fsync,fdatasync,write,pwrite64",
): string[] {
  const program = `
    import { LocalStorage } from ${JSON.stringify(STORAGE)};
    const storage = new LocalStorage(${JSON.stringify(join(directory, "root"))});
    ${body}`;
  const { stderr } = spawnSync(
    "strace",
    [
      ...["-f", "-qq", "-y", "-s", "0", "-e", "signal=none"],
      ...["-e", `trace=${traced}`],
      ...[process.execPath, "--input-type=module-typescript", "-e", program],
    ],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  );
  return stderr.split("\n").flatMap((line) => {
    if (!line.includes(directory) || line.includes("resumed>")) return [];
    const call = /(\w+)\(/.exec(line)?.[1] ?? "";
    const paths = [...line.matchAll(/[<"](\/[^>"]*)[>"]/g)].map(([, path]) => short(path ?? "", directory));
    return [`${call} ${paths.join(" ")}`];
  });
}

const short = (path: string, directory: string) =>
  path
    .replace(directory, "")
    .replace(/\.[\w-]+\.[0-9a-f-]{36}\.tmp/, "TMP")
    .replace(/^$/, "around");

test.skipIf(!hasStrace)(
  "the content is on the disk before the name, and the name before the answer",
  async () => {
    const directory = await newDirectory();
    const calls = callsOf(
      directory,
      `await storage.writeNew("a/b", Buffer.from("x"));
     await storage.write("a/c", Buffer.from("x"));
     await storage.remove("a/c");`,
    ).map((call) => call.replace("pwrite64", "write"));
    const [first, second] = [
      calls.indexOf("link /root/a/TMP /root/a/b"),
      calls.indexOf("rename /root/a/TMP /root/a/c"),
    ];
    const before = (index: number) => calls.slice(Math.max(0, index - 2), index);
    expect(before(first)).toEqual(["write /root/a/TMP", "fsync /root/a/TMP"]);
    expect(before(second)).toEqual(["write /root/a/TMP", "fsync /root/a/TMP"]);
    const end = calls.indexOf("unlink /root/a/c");
    // Every directory that got a name, once; then only the object's own.
    const made = calls
      .slice(first, second)
      .filter((call) => call.startsWith("fsync") && !call.includes("TMP"));
    expect(new Set(made)).toEqual(new Set(["fsync /root/a", "fsync /root", "fsync around"]));
    expect(calls.slice(second, end).filter((call) => call.startsWith("fsync"))).toEqual(["fsync /root/a"]);
    expect(calls.slice(end + 1)).toEqual(["fsync /root/a"]);
  },
);

test.skipIf(!hasStrace)(
  "what may be lost is whole, and its name goes to the disk with the next one, or a little later",
  async () => {
    const directory = await newDirectory();
    const calls = callsOf(
      directory,
      `await storage.writeNew("a/b", Buffer.from("x"));
     await storage.writeNew("c/d", Buffer.from("x"), { mayBeLost: true });
     await storage.write("a/b", Buffer.from("y"));
     await storage.remove("c/d", { mayBeLost: true });
     await new Promise((resolve) => setTimeout(resolve, 2000));`,
    );
    const made = calls.indexOf("link /root/c/TMP /root/c/d");
    const next = calls.indexOf("rename /root/a/TMP /root/a/b");
    const gone = calls.indexOf("unlink /root/c/d");
    const syncs = (from: number, to?: number) =>
      calls.slice(from, to).filter((call) => call.startsWith("fsync") && !call.includes("TMP"));
    expect(calls[made - 1]).toBe("fsync /root/c/TMP");
    expect(syncs(made, next)).toEqual([]);
    expect(syncs(next, gone).sort()).toEqual(["fsync /root/a", "fsync /root/c"]);
    expect(syncs(gone)).toEqual(["fsync /root/c"]);
  },
);

test.skipIf(!hasStrace)(
  "of many objects that are looked for each is looked at, and their directories once",
  async () => {
    const directory = await newDirectory();
    await new LocalStorage(join(directory, "root")).write("a/b/0", Buffer.from("x"));
    const calls = callsOf(
      directory,
      `const names = Array.from({ length: 20 }, (_, n) => "a/b/" + n);
     const there = await storage.has(names);
     if (there.size !== 1) throw new Error("it is there");`,
      "statx,lstat,newfstatat",
    );
    expect(calls.filter((call) => /\/root\/a\/b\/\d+$/.test(call)).length).toBeGreaterThanOrEqual(20);
    expect(calls.filter((call) => /\/root\/a(\/b)?$/.test(call))).toHaveLength(2);
  },
);
