// Loaded with `--import` before a program: counts the calls by which Node changes files, and at one of them
// kills the process or has the call fail. It reaches our own steps exactly, whichever thread carries them
// out, but not LanceDB's; strace does that.
//
//   INJECT='{"at":7,"error":"ENOSPC","on":true}' node --import ./inject.ts program.ts
import fs, { constants, promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { getSystemErrorMap } from "node:util";

export interface Injection {
  /** The call, counted from 1; 0: none, they are only counted. */
  readonly at: number;
  /** The system's name of the error; undefined: SIGKILL, just before the call. */
  readonly error?: string;
  /** Every call from there on fails, too. */
  readonly on?: boolean;
  /** Only calls on paths that hold this text count; calls on open files always do. */
  readonly root: string;
}

/** As it was before it was patched. */
const say = fs.writeSync;

type Call = (...args: unknown[]) => unknown;

const text = process.env["INJECT"];
const injection = text === undefined ? undefined : (JSON.parse(text) as Injection);
let count = 0;

/** Throws, kills, or lets pass. */
function step(call: string, paths: readonly string[]): void {
  if (!injection) return;
  if (paths.length > 0 && !paths.some((path) => path.includes(injection.root))) return;
  if (isSignOfLife()) return;
  count++;
  const hit = injection.on ? count >= injection.at : count === injection.at;
  if (!hit || injection.at === 0) return;
  const [path] = paths;
  if (count === injection.at) say(2, `injected at ${count}: ${call} ${path ?? ""}\n`);
  if (injection.error === undefined) process.kill(process.pid, "SIGKILL");
  const [errno, entry] = [...getSystemErrorMap()].find(([, [name]]) => name === injection.error) ?? [];
  const message = `${injection.error}: ${entry?.[1]}, ${call}${path ? ` '${path}'` : ""}`;
  throw Object.assign(new Error(message), { code: injection.error, errno, syscall: call, path });
}

/** Signs of life are given by the clock, so that two runs have not as many of them; what fails of them is passed over. */
function isSignOfLife(): boolean {
  return /sign-of-life|\bgiveSign\b/.test(new Error().stack ?? "");
}

/** The paths that a call names; those on an open file name none, whatever text they write. */
function pathsOf(call: string, args: readonly unknown[]): string[] {
  const paths = ["rename", "link", "symlink", "copyFile"].includes(call)
    ? args.slice(0, 2)
    : args.slice(0, 1);
  return paths.filter((path) => typeof path === "string");
}

function patch(target: object, names: readonly string[], style: "sync" | "promise" | "callback" | "handle") {
  for (const name of names) {
    const original = Reflect.get(target, name) as Call | undefined;
    if (!original) continue;
    const call = name.replace(/Sync$/, "");
    const before = (args: readonly unknown[]) => {
      if (!isReading(call, args)) step(call, style === "handle" ? [] : pathsOf(call, args));
    };
    Reflect.set(target, name, wrapped(original, before, style));
  }
}

function wrapped(original: Call, before: (args: readonly unknown[]) => void, style: string): Call {
  if (style === "sync") {
    return function (this: unknown, ...args) {
      before(args);
      return Reflect.apply(original, this, args);
    };
  }
  if (style !== "callback") {
    return async function (this: unknown, ...args) {
      before(args);
      return Reflect.apply(original, this, args);
    };
  }
  return function (this: unknown, ...args) {
    try {
      before(args);
    } catch (error) {
      process.nextTick(args.at(-1) as () => void, error);
      return undefined;
    }
    return Reflect.apply(original, this, args);
  };
}

/** An `open` that creates nothing. */
function isReading(call: string, args: readonly unknown[]): boolean {
  if (call !== "open") return false;
  const flags = args[1] ?? "r";
  return typeof flags === "number" ? (flags & constants.O_CREAT) === 0 : !/[wa]/.test(String(flags));
}

const NAMES = ["mkdir", "rmdir", "rm", "unlink", "rename", "link", "symlink", "copyFile", "writeFile"];
const DESCRIPTORS = ["write", "fsync", "fdatasync", "ftruncate"];

if (injection) {
  patch(
    fs,
    [...NAMES, ...DESCRIPTORS, "open"].map((name) => `${name}Sync`),
    "sync",
  );
  patch(fs, [...NAMES, "fsync"], "callback");
  patch(promises, [...NAMES, "open"], "promise");
  const handle = await promises.open(new URL(import.meta.url), "r");
  patch(Object.getPrototypeOf(handle), ["sync", "datasync", "writeFile", "write", "truncate"], "handle");
  await handle.close();
  syncBuiltinESMExports();
  process.on("exit", () => void say(2, `calls: ${count}\n`));
}
