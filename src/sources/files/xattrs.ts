import type { EntryAttributes } from "../../engine/snapshot.ts";
import { reasonOf } from "../../thrown.ts";
import { foreignEnvironment, RunningProgram } from "../programs/run-program.ts";
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
const GONE = "No such file or directory";
/** What is taken for an answer: some may have been refused. */
const ANSWERS: readonly (number | null)[] = [0, 1];
/** So many characters of text are handed over at a time. */
const STRETCH_CHARACTERS = 1 << 20;

/** Values in base64, by name, as entries have them. */
export type Xattrs = NonNullable<EntryAttributes["xattrs"]>;

export interface TreeXattrs {
  /** By path relative to the root, its bytes as latin1; `.` is the root. */
  readonly byPath: ReadonlyMap<string, Xattrs>;
  /** Why some could not be read, by path. */
  readonly refused: ReadonlyMap<string, string>;
  /** Why none could be. */
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
    const { code } = await program.ended();
    if (!ANSWERS.includes(code)) throw new Error(firstLine(program.said));
    for (const [, name = "", reason = ""] of program.said.matchAll(/^getfattr: (.*): ([^:\n]+)$/gm)) {
      if (reason === GONE) continue;
      refused.set(unescapeOctal(Buffer.from(name).toString("latin1")).replace(/^\.\//, ""), reason);
    }
    return { byPath, refused };
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
      if (program && ending?.code !== 0) this.#refused.push(...program.said.split("\n"));
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
    const { length, [0]: first } = this.#refused;
    return length === 0
      ? undefined
      : `${length.toLocaleString("en")} extended attributes are not restored; ${first}`;
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

function start(
  path: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
  cwd?: string,
): RunningProgram {
  // Messages are told apart by their words.
  const env = { ...foreignEnvironment(process.env), LC_ALL: "C" };
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

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
