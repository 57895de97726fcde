import { join } from "node:path";
import { cache } from "../data/paths.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const WORK = join(cache, "work");

const commands = new Set<string>();

/** Remembers a program's command line for the page, with paths as they are below the place of the work. */
export function noteCommand(program: string, args: readonly string[], cwd?: string): void {
  const line = [program, ...args].map((word) => shown(word)).join(" ");
  commands.add(cwd === undefined ? line : `cd ${shown(cwd)} && ${line}`);
}

/** The command lines since the last call, in their order. */
export function takeCommands(): string[] {
  const taken = [...commands];
  commands.clear();
  return taken;
}

function shown(word: string): string {
  const path = word === process.execPath ? "node" : withoutPlace(word).replaceAll(`${ROOT}/`, "");
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Each place has a directory of its own in `WORK`. */
function withoutPlace(word: string): string {
  return word
    .split(`${WORK}/`)
    .map((part, index) => (index === 0 ? part : part.replace(/^[^/]*\/?/, "")))
    .join("");
}
