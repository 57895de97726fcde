import type { EntryAttributes } from "../../engine/snapshot.ts";
import { UnsupportedError } from "../../errors.ts";
import { reasonOf } from "../../thrown.ts";
import { counted } from "../../util/format.ts";
import { type Ending, inWords, RunningProgram } from "../programs/run-program.ts";
import { escapeLink, type FileName, unescapeText } from "./file-names.ts";

// Extended attributes, by the programs of the package attr: Node has no call for them. Both speak of many files at once, in a text in
// which names of any bytes are escaped: `# file: <path>`, then a line for each attribute, `<name>=0s<base64>`, then an empty one.

/** The files' own. What else there is a security module or a file system says of files on this machine. */
const KEPT = String.raw`^(user\.|trusted\.|system\.posix_acl_(access|default)$|security\.capability$)`;
const IS_KEPT = new RegExp(KEPT);
const USER = "user.";
const ACCESS_LIST = "system.posix_acl_access";
const FILE = "# file: ";
/** Of base64 an empty value is refused. */
const EMPTY = '""';
/** A file, or an attribute, that was removed meanwhile. */
const GONE = new Set(["No such file or directory", "No data available", "No such attribute"]);
/** What `getfattr` says of a file, and of an attribute of one. Of all else it says that it has not done its work. */
const OF_FILE = /^getfattr: (\.(?:\/.*)?): ([^:]+)$/;
const OF_ATTRIBUTE = /^(\.(?:\/.*)?): (?:user|trusted|system|security)\..*: ([^:]+)$/;
/** What `setfattr` says of an attribute: it is given absolute paths. */
const NOT_SET = /^setfattr: \/.*: [^:]+$/;
/** What both end with where some of the work is refused. */
const PARTLY = 1;
/** Where PATH names no directory that can be meant. */
const USUAL_PATH = "/usr/bin:/bin";
/** So many characters of text are handed over at a time. */
const STRETCH_CHARACTERS = 1 << 20;

/** Values in base64, by name, as entries have them. */
export type Xattrs = NonNullable<EntryAttributes["xattrs"]>;

export interface TreeXattrs {
  /** By path relative to the root, its bytes as latin1; `.` is the root. */
  readonly byPath: ReadonlyMap<string, Xattrs>;
  /** Why some could not be read, by path as text: what is none has U+FFFD in it. */
  readonly refused: ReadonlyMap<string, string>;
  /** Why none could be, or not all. */
  readonly unread?: string | undefined;
}

/** Of all that lies below a directory, by one process. @throws the signal's reason */
export async function readXattrs(
  root: string,
  { oneFileSystem, signal }: { readonly oneFileSystem: boolean; readonly signal?: AbortSignal | undefined },
): Promise<TreeXattrs> {
  const byPath = new Map<string, Record<string, string>>();
  const refused = new Map<string, string>();
  const bounds = oneFileSystem ? ["--one-file-system"] : [];
  const args = ["--dump", "-h", "-R", ...bounds, "-m", KEPT, "-e", "base64", "--", "."];
  try {
    await using program = start("getfattr", args, signal, root);
    program.endInput();
    let path = "";
    for await (const line of linesOf(program.read())) {
      if (line.startsWith(FILE)) path = unescapeOctal(line.slice(FILE.length));
      else if (line !== "") add(byPath, path, line);
    }
    const ending = await program.ended();
    const { said } = program;
    if (ending.code !== 0 && ending.code !== PARTLY) throw new Error(failureOf(program.path, said, ending));
    let unread: string | undefined;
    for (const line of linesIn(said)) {
      const [, name, reason = ""] = OF_FILE.exec(line) ?? OF_ATTRIBUTE.exec(line) ?? [];
      if (name === undefined) unread ??= line;
      else if (!GONE.has(reason)) refused.set(unescapeOctal(name).replace(/^\.\//, ""), reason);
    }
    if (ending.code === PARTLY && said === "") unread = failureOf(program.path, said, ending);
    return { byPath, refused, unread };
  } catch (error) {
    signal?.throwIfAborted();
    return { byPath: new Map(), refused, unread: reasonOf(error) };
  }
}

function add(byPath: Map<string, Record<string, string>>, path: string, line: string): void {
  const end = line.indexOf("=");
  const [name, value] = [line.slice(0, end), line.slice(end + "=0s".length)];
  const known = byPath.get(path) ?? {};
  known[escapeLink(Buffer.from(unescapeOctal(name), "latin1"))] = value;
  byPath.set(path, known);
}

/** Gives files what the snapshot knows of them, and counts what is refused. */
export class XattrWriter {
  readonly #isAll: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #refused: string[] = [];
  #missing: string | undefined;
  #failed: string | undefined;

  /** @param isAll also what says who may do what with the files; else `user.` alone, which is data. */
  constructor(isAll: boolean, signal: AbortSignal | undefined) {
    this.#isAll = isAll;
    this.#signal = signal;
  }

  /** Whether there is anything to give. */
  has(attributes: EntryAttributes): boolean {
    return this.#chosen(attributes).length > 0;
  }

  /** By one process. The files must be such that they can be written to. */
  async give(
    files: Iterable<{ readonly place: FileName; readonly attributes: EntryAttributes }>,
  ): Promise<void> {
    if (this.#missing !== undefined) return;
    let program: RunningProgram | undefined;
    let text = "";
    const hand = async () => {
      program ??= start("setfattr", ["-h", "--restore=-"], this.#signal);
      const isTaken = await program.write(Buffer.from(text, "latin1"));
      text = "";
      return isTaken;
    };
    try {
      for (const { place, attributes } of files) {
        const chosen = this.#chosen(attributes);
        if (chosen.length === 0) continue;
        text += `${FILE}${escapeOctal(Buffer.from(place as string).toString("latin1"))}\n`;
        for (const [name, value] of chosen)
          text += `${escapeOctal(name).replaceAll("=", "\\075")}=${value === "" ? EMPTY : `0s${value}`}\n`;
        text += "\n";
        if (text.length > STRETCH_CHARACTERS && !(await hand())) break;
      }
      if (text !== "") await hand();
      program?.endInput();
      const ending = await program?.ended();
      if (!program || !ending || ending.code === 0) return;
      const refused = linesIn(program.said).filter((line) => NOT_SET.test(line));
      this.#refused.push(...refused);
      if (ending.code !== PARTLY || refused.length === 0)
        this.#failed ??= failureOf(program.path, program.said, ending);
    } catch (error) {
      this.#signal?.throwIfAborted();
      this.#missing = reasonOf(error);
    } finally {
      await program?.[Symbol.asyncDispose]();
    }
  }

  /** What could not be given, in words. */
  inWords(): string | undefined {
    if (this.#missing !== undefined) return `extended attributes are not restored: ${this.#missing}`;
    if (this.#failed !== undefined)
      return `extended attributes are not restored, or not all: ${this.#failed}`;
    const { length, [0]: first } = this.#refused;
    if (length === 0) return undefined;
    return `${counted(length, "extended attribute")} ${length === 1 ? "is" : "are"} not restored; ${first}`;
  }

  #chosen({ xattrs = {} }: EntryAttributes): [name: string, value: string][] {
    return Object.entries(xattrs)
      .map(([name, value]): [string, string] => [
        unescapeText(name, "an attribute").toString("latin1"),
        value,
      ])
      .filter(([name]) => (this.#isAll ? IS_KEPT.test(name) : name.startsWith(USER)));
  }
}

/**
 * The mode of a file without its access list. While there is one, the group's bits of the mode are the most that anybody in it may do; what
 * the group itself may do is in the list.
 */
export function modeWithoutList(mode: number, xattrs: Xattrs | undefined): number {
  const list = Buffer.from(xattrs?.[ACCESS_LIST] ?? "", "base64");
  for (let at = LIST_HEAD; at + LIST_ENTRY <= list.length; at += LIST_ENTRY) {
    if (list.readUInt16LE(at) === OWNING_GROUP)
      return mode & (~0o070 | ((list.readUInt16LE(at + 2) & 7) << 3));
  }
  return mode;
}

// acl(5), as Linux keeps it: a version, then entries of tag, permissions and id.
const LIST_HEAD = 4;
const LIST_ENTRY = 8;
const OWNING_GROUP = 0x04;

/**
 * Of the environment they are given nothing that names a place relative to where they work, which others write to: neither programs nor
 * libraries are to come from there.
 */
function start(
  path: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
  cwd?: string,
): RunningProgram {
  if (process.platform !== "linux") throw new UnsupportedError("They are kept on Linux only.");
  const absolute = (process.env["PATH"] ?? "").split(":").filter((directory) => directory.startsWith("/"));
  const env = {
    PATH: absolute.join(":") || USUAL_PATH, // an empty one is the directory that it works in
    LC_ALL: "C", // messages are told apart by their words
  };
  return new RunningProgram({ path, args, env, signal, cwd });
}

async function* linesOf(output: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of output) {
    const lines = (rest + piece.toString("latin1")).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function escapeOctal(text: string): string {
  return text.replace(/[\\\n\r]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function linesIn(said: string): string[] {
  return said.split("\n").filter((line) => line.trim() !== "");
}

/** Why a program has not done its work, in its words where it has some. */
function failureOf(program: string, said: string, ending: Ending): string {
  return linesIn(said).find((line) => !NOT_SET.test(line)) ?? `${program} ${inWords(ending)}`;
}
