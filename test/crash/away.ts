import fs, { promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { sep } from "node:path";

/**
 * Counts the calls by which this thread reads or changes files below a directory, and has it renamed away just before
 * one of them and back before a later one, as a remount or a network drive does. LanceDB's own calls are not counted,
 * and find the directory as it is then.
 */
export interface Absence {
  readonly root: string;
  /** The call before which it goes, counted from 1; 0: never, they are only counted. */
  readonly at: number;
  /** After so many calls it is back; at the latest when the operation has ended. */
  readonly calls: number;
}

export interface AbsentRun<T> {
  readonly result: PromiseSettledResult<T>;
  readonly counted: number;
  /** The call before which it went, as `stat <path>`. */
  readonly hit: string | undefined;
  /** What stood at its place when it came back, and lies in `<root>.made` now: somebody has made it again. */
  readonly made: readonly string[] | undefined;
}

type Call = (...args: unknown[]) => unknown;

const { existsSync, readdirSync, renameSync } = fs;
let counter: ((call: string, paths: readonly string[]) => void) | undefined;

/** Runs an operation while a directory goes away and comes back. One at a time. */
export async function whileAway<T>(absence: Absence, operation: () => Promise<T>): Promise<AbsentRun<T>> {
  const { root, at, calls } = absence;
  let counted = 0;
  let hit: string | undefined;
  let made: readonly string[] | undefined;
  let isAway = false;
  const comeBack = () => {
    isAway = false;
    if (existsSync(root)) {
      made = readdirSync(root);
      renameSync(root, `${root}.made`);
    }
    renameSync(`${root}.away`, root);
  };
  counter = (call, paths) => {
    const isMeant = (path: string) => path === root || path.startsWith(root + sep);
    if (paths.length > 0 && !paths.some(isMeant)) return;
    counted++;
    if (isAway && counted >= at + calls) comeBack();
    if (counted !== at) return;
    hit = `${call} ${paths.join(" ").replaceAll(root, "")}`;
    if (!existsSync(root)) return;
    renameSync(root, `${root}.away`);
    isAway = true;
  };
  const [result] = await Promise.allSettled([operation()]);
  counter = undefined;
  if (isAway) comeBack();
  return { result, counted, hit, made };
}

const TWO_PATHS = ["rename", "link", "symlink", "copyFile"];

function patch(target: object, names: readonly string[], style: "sync" | "promise" | "callback" | "handle") {
  for (const name of names) {
    const original = Reflect.get(target, name) as Call | undefined;
    if (!original) continue;
    const call = name.replace(/Sync$/, "");
    const count = (args: readonly unknown[]) => {
      const paths = style === "handle" ? [] : args.slice(0, TWO_PATHS.includes(call) ? 2 : 1);
      counter?.(
        call,
        paths.filter((path) => typeof path === "string"),
      );
    };
    const counting =
      style === "promise"
        ? async function (this: unknown, ...args: unknown[]) {
            count(args);
            return Reflect.apply(original, this, args);
          }
        : function (this: unknown, ...args: unknown[]) {
            count(args);
            return Reflect.apply(original, this, args);
          };
    Object.defineProperties(counting, Object.getOwnPropertyDescriptors(original));
    Reflect.set(target, name, counting);
  }
}

const NAMES = [
  ...["mkdir", "rmdir", "rm", "unlink", "rename", "link", "symlink", "copyFile", "writeFile", "truncate"],
  ...["chmod", "utimes", "open", "opendir", "readFile", "readdir", "stat", "lstat", "access"],
];
const DESCRIPTORS = ["write", "fsync", "fdatasync", "ftruncate", "futimes", "fstat", "close"];

patch(
  fs,
  [...NAMES, ...DESCRIPTORS, "exists"].map((name) => `${name}Sync`),
  "sync",
);
patch(fs, NAMES, "callback");
patch(promises, NAMES, "promise");
const handle = await promises.open(import.meta.filename, "r");
patch(Object.getPrototypeOf(handle), ["sync", "datasync", "writeFile", "write", "writev", "read"], "handle");
await handle.close();
syncBuiltinESMExports();
