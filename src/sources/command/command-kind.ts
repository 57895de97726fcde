import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PartContent, StoredEntry } from "../../engine/snapshot.ts";
import type { PartToRestore, PartToTest, SourceKind } from "../../engine/source-kind.ts";
import { schemeOfSource } from "../../engine/source-url.ts";
import { CorruptError, IoError, ValidationError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { localPath } from "../../fs/local-path.ts";
import { Owners, writeFile } from "../files/place-file.ts";
import { assertArgv, commandWords } from "./command-argv.ts";
import { Program } from "./command-program.ts";
import { CommandSource, STDOUT } from "./command-source.ts";

export const COMMAND_KIND: SourceKind = {
  type: "command",
  schemes: ["command"],
  urlOptions: ["argv", "env", "timeoutMs"],
  fromUrl: (url, { sourceId, argv, env, timeoutMs }) =>
    new CommandSource({ sourceId, argv: assertArgv(argv ?? commandWords(url)), env, timeoutMs }),
  assertAbout({ about }, place) {
    const fields = new Fields(about, place, "about");
    fields.text("program");
    fields.count("bytes");
  },
  assertPart,
  planRestore: async (request) => void planOf(request),
  restore,
  test,
};

function assertPart({ entries }: PartContent, place: string): void {
  const [entry] = entries;
  if (entries.length === 1 && entry?.path === STDOUT && !entry.attributes) return;
  throw new CorruptError(
    `The snapshot document ${place} is damaged: it has other files than a program's output.`,
    { path: place },
  );
}

/** A program that is given the bytes, or a file that is made of them. @throws ValidationError */
function planOf({ part, target, options = {} }: PartToRestore): {
  readonly entry: StoredEntry;
  readonly argv?: string[];
  readonly path: string;
} {
  assertPart(part, part.source.uri);
  const entry = part.entries[0] as StoredEntry;
  const isProgram = options.argv !== undefined || schemeOfSource(target) === "command";
  if (isProgram) return { entry, argv: assertArgv(options.argv ?? commandWords(target)), path: "" };
  const path = localPath(target, "target");
  if (existsSync(path))
    throw new ValidationError(
      `There is something at ${path} already. Name a new file, or command: and a program.`,
    );
  return { entry, path };
}

async function restore(request: PartToRestore): Promise<void> {
  const { entry, argv, path } = planOf(request);
  const { options: { env, timeoutMs } = {}, signal, read } = request;
  if (!argv) {
    await writeFile(path, entry, read(entry), { owners: new Owners(false), isInPlace: true, signal });
    return;
  }
  await using program = await Program.start({ argv, env, timeoutMs, signal }, "pipe");
  await feed(program, entry, read(entry), signal);
  await program.finish();
}

/** Its input ends where all was given, and is what the snapshot says: before that the program is stopped. */
async function feed(
  program: Program,
  { sha256 }: StoredEntry,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { stdin } = program.child;
  if (!stdin) return;
  let failure: unknown;
  stdin.on("error", (error) => {
    failure = error;
  });
  const ended = new Promise((resolve) => program.child.once("close", resolve));
  const hash = createHash("sha256");
  for await (const stretch of content) {
    signal?.throwIfAborted();
    hash.update(stretch);
    if (!failure && !stdin.write(stretch))
      await Promise.race([once(stdin, "drain").catch(() => undefined), ended]);
    if (!failure && stdin.writable && program.child.exitCode === null) continue;
    await program.finish();
    throw new IoError(`${program.name} ended before it had read all.`);
  }
  if (hash.digest("hex") !== sha256) {
    throw new CorruptError(
      "The data given to the program differs from the snapshot: a blob is damaged. The program was stopped.",
    );
  }
  stdin.end();
}

/** Reads it in full. What a program would make of it only that program can tell. */
async function test({ part, scratch, read, signal }: PartToTest): Promise<string> {
  assertPart(part, part.source.uri);
  const entry = part.entries[0] as StoredEntry;
  await writeFile(join(scratch, STDOUT), entry, read(entry), {
    owners: new Owners(false),
    isInPlace: false,
    signal,
  });
  return `${entry.size.toLocaleString("en")} bytes were written and read.`;
}
