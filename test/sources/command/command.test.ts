import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import type { Source } from "../../../src/engine/source-contract.ts";
import { CorruptError, IoError, ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { sourceFromUrl } from "../../../src/sources/source-from-url.ts";
import { run } from "../../cli/cli.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";

const SECRET = "s3cret-of-the-test";

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  const repository = await Repository.init(place("vault"), { logger: silent });
  const source = (script: string, options: object = {}) =>
    sourceFromUrl("command:", { argv: [process.execPath, "-e", script], ...options });
  return { place, repository, source };
}

const LONG = `for (let i = 0; i < 300000; i++) process.stdout.write("line " + i + "\\n");`;

test("what a program writes is a snapshot, comes back to a program or a file, and is not stored again", async () => {
  const { place, repository, source } = await newPlace();
  const whole = execFileSync(process.execPath, ["-e", LONG], { maxBuffer: 1 << 28 });
  const taken = await repository.backup({ source: source(LONG) });
  expect(taken).toMatchObject({ bytes: whole.length, source: { type: "command", uri: "command:node" } });
  expect((await repository.backup({ source: source(LONG) })).storedBytes).toBe(0);
  await repository.restore(taken.id, { target: place("out") });
  expect(readFileSync(place("out")).equals(whole)).toBe(true);
  await expect(repository.restore(taken.id, { target: place("out") })).rejects.toThrow(ValidationError);
  const argv = [
    process.execPath,
    "-e",
    `process.stdin.pipe(require("fs").createWriteStream(${JSON.stringify(place("piped"))}))`,
  ];
  await repository.restore(taken.id, { target: "command:", targetOptions: { argv } });
  expect(readFileSync(place("piped")).equals(whole)).toBe(true);
  const results = await repository.verify(taken.id, { restoreTest: true });
  expect(results.find(({ check }) => check === "restore:command")).toMatchObject({ ok: true });
});

test.each([
  ["ends with a status", "process.stdout.write('half'); process.exitCode = 3", /node ended with status 3\./],
  [
    "is killed",
    "process.stdout.write('half'); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50)",
    /ended by SIGKILL/,
  ],
  ["says why", "console.error('no such table'); process.exit(1)", /status 1\. It said: no such table/],
])("there is no snapshot of a program that %s", async (_what, script, message) => {
  const { repository, source, place } = await newPlace();
  const failed = repository.backup({ source: source(script) });
  await expect(failed).rejects.toThrow(IoError);
  await expect(failed).rejects.toThrow(message);
  expect(await repository.list()).toEqual([]);
  expect(filesBelow(place("vault")).filter((path) => path.startsWith("snapshots/"))).toEqual([]);
});

test("a time limit of more than timers take is not over at once", async () => {
  const { repository, source } = await newPlace();
  const slow = source("setTimeout(() => console.log(1), 300)", { timeoutMs: 30 * 86_400_000 });
  expect((await repository.backup({ source: slow })).parts).toHaveLength(1);
});

test("a program that takes too long is stopped, with what it has started; an abort does the same", async () => {
  const { place, repository, source } = await newPlace();
  const script = `require("child_process").spawn("sleep", ["1000"], { stdio: "inherit" }); console.log(process.pid); setInterval(() => {}, 1000)`;
  await expect(repository.backup({ source: source(script, { timeoutMs: 300 }) })).rejects.toThrow(
    /time limit of 0\.3 s/,
  );
  const late = await run(["backup", "command:sleep 1000", "--time-limit", "0.3", "--repo", place("vault")]);
  expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining("time limit of 0.3 s") });
  const reason = new Error("enough");
  const abort = new AbortController();
  setTimeout(() => abort.abort(reason), 300);
  await expect(repository.backup({ source: source(script), signal: abort.signal })).rejects.toThrow("enough");
  expect(await repository.list()).toEqual([]);
  expect(await repository.leases()).toEqual([]);
});

test("programs of all kinds are ended where this process leaves at once, by one listener", async () => {
  const module = (name: string) =>
    JSON.stringify(new URL(`../../../src/sources/${name}`, import.meta.url).href);
  const script = `
    const { RunningProgram } = await import(${module("programs/run-program.ts")});
    const { Program } = await import(${module("command/command-program.ts")});
    const args = ["-c", "echo $$; exec sleep 1000"];
    const programs = [];
    for (let i = 0; i < 6; i++) {
      programs.push(new RunningProgram({ path: "sh", args, env: process.env }));
      programs.push(await Program.start({ argv: ["sh", ...args] }, "ignore"));
    }
    const pids = [];
    for (const { output } of programs) for await (const text of output.iterator({ destroyOnReturn: false })) {
      pids.push(Number(text));
      break;
    }
    await programs.pop()[Symbol.asyncDispose]();
    console.log(JSON.stringify([process.listenerCount("exit"), ...pids]));
    process.exit();`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  const [listeners, ...pids] = JSON.parse(said) as number[];
  expect([listeners, pids.length]).toEqual([1, 12]);
  const isThere = (pid: number) =>
    existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  await expect.poll(() => pids.filter(isThere)).toEqual([]);
});

test("what is secret in its environment is in no error, no document and no process's arguments", async () => {
  const { place, repository, source } = await newPlace();
  const env = { APP_PASSWORD: SECRET };
  const tells = `console.error("cannot sign in with " + process.env.APP_PASSWORD + " at pg://me:" + process.env.APP_PASSWORD + "@db/x"); process.exit(1)`;
  const error = await repository
    .backup({ source: source(tells, { env }) })
    .catch((thrown: unknown) => thrown);
  expect(String(error)).toContain("cannot sign in with ***");
  expect(String(error)).not.toContain(SECRET);
  const seen: string[] = [];
  const watching = setInterval(() => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        seen.push(readFileSync(`/proc/${pid}/cmdline`, "latin1"));
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/ENOENT|ESRCH/) }); // ended meanwhile
      }
    }
  }, 5);
  vi.stubEnv("LANCEDB_BACKUP_PASSWORD", SECRET);
  const works =
    "if (process.env.LANCEDB_BACKUP_PASSWORD) process.exit(1); setTimeout(() => console.log(process.env.APP_PASSWORD.length), 100)";
  const { id } = await repository
    .backup({ source: source(works, { env }) })
    .finally(() => clearInterval(watching))
    .finally(() => vi.unstubAllEnvs());
  expect(seen.some((line) => line.includes("APP_PASSWORD.length"))).toBe(true);
  expect(seen.filter((line) => line.includes(SECRET))).toEqual([]);
  expect(readFileSync(place(`vault/snapshots/${id}.json`), "utf8")).not.toContain(SECRET);
});

test("a program that does not read all, or fails, is a failed restore; one is not told of an end that is none", async () => {
  const { place, repository, source } = await newPlace();
  const { id } = await repository.backup({ source: source(LONG) });
  const restore = (script: string) =>
    repository.restore(id, { target: "command:", targetOptions: { argv: [process.execPath, "-e", script] } });
  await expect(
    restore("process.stdin.resume(); process.stdin.on('end', () => process.exit(4))"),
  ).rejects.toThrow(/status 4/);
  await expect(restore("process.exit(0)")).rejects.toThrow(/before it had read all|EPIPE/);
  const [blob = ""] = filesBelow(place("vault")).filter((path) => path.startsWith("blobs/"));
  const path = place(`vault/${blob}`);
  chmodSync(path, 0o600);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  writeFileSync(path, bytes);
  const end = `process.stdin.resume(); process.stdin.on("end", () => require("fs").writeFileSync(${JSON.stringify(place("ended"))}, ""))`;
  await expect(restore(end)).rejects.toThrow(CorruptError);
  expect(existsSync(place("ended"))).toBe(false);
});

test("what a program has written is there, also where it has ended before it is read", async () => {
  const { place, repository, source } = await newPlace();
  const slow: Source = {
    ...{ type: "slow", id: "s", uri: "s" },
    capture: async () => {
      await sleep(1500); // the other is captured, and ends meanwhile
      return {
        capturedAt: new Date(),
        async *entries() {
          yield* [];
        },
        finish: async () => ({ about: {}, details: {} }),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
  const { id } = await repository.backup({
    sources: [source(`process.stdout.write("whole".repeat(8000))`), slow],
  });
  await repository.restore(id, { targets: [{ part: "command", target: place("out") }] });
  expect(readFileSync(place("out"), "utf8")).toBe("whole".repeat(8000));
});

test("what names no program is refused", async () => {
  const { repository, place } = await newPlace();
  await expect(repository.backup({ source: "command:no-such-program-here" })).rejects.toThrow(
    /There is no program/,
  );
  await expect(repository.backup({ source: "command:" })).rejects.toThrow(ValidationError);
  await expect(repository.backup({ source: "command:%zz" })).rejects.toThrow(ValidationError);
  const told = await run(["backup", "command:printf a%20b", "--repo", place("vault"), "--json"]);
  expect(told).toMatchObject({ code: 0 });
  expect((await run(["restore", "latest", place("out"), "--repo", place("vault")])).code).toBe(0);
  expect(readFileSync(place("out"), "utf8")).toBe("a b");
  const piped = await run([
    "restore",
    "latest",
    "--target-url",
    `command:dd of=${place("dd")}`,
    "--repo",
    place("vault"),
  ]);
  expect(piped.code).toBe(0);
  expect(readFileSync(place("dd"), "utf8")).toBe("a b");
});
