import { Buffer } from "node:buffer";
import { CorruptError } from "../../errors.ts";
import { arrowDecoder, MAGIC } from "./arrow-file.ts";
import {
  type BackupFileReader,
  type FileDecoder,
  type FileFormat,
  type FileHead,
  FORMAT,
} from "./backup-file.ts";
import { jsonDecoder } from "./json-contents.ts";
import { SealedInput } from "./sealed-input.ts";

type Decoder = FileDecoder<SealedInput>;

const DECODERS: Readonly<Record<FileFormat, Decoder>> = { arrow: arrowDecoder, json: jsonDecoder };

/** How a JSON file begins; what a person writes by hand may have spaces elsewhere, and is no backup. */
const JSON_START = /^\{"type":"(?:full|delta)","format":(\d{1,10}),/;
const START_BYTES = 64;

/**
 * Opens a backup file of either format, whichever its name says, and hashes all of it before anything of it
 * is handed out. What stands before each table's rows is checked too.
 *
 * @throws CorruptError naming file and place, for every flipped bit and cut, and for a newer format.
 * @throws IoError where it cannot be read.
 */
export async function openBackupFile(path: string): Promise<BackupFileReader> {
  const input = await SealedInput.open(path);
  try {
    const decoder = DECODERS[await formatOf(input)];
    const sha256 = await verifySeal(input, decoder);
    const { head, tables } = await decoder.readContents(input);
    return {
      ...{ path, head, sha256 },
      async *tables() {
        yield* tables;
      },
      [Symbol.asyncDispose]: () => input.close(),
    };
  } catch (error) {
    await input.close();
    throw error;
  }
}

/**
 * What a file says of itself, **without** checking it against its checksum: for listings, where reading every
 * file whole would take too long.
 *
 * @throws CorruptError where even that cannot be read.
 */
export function peekBackupFile(path: string): Promise<{
  readonly format: FileFormat;
  readonly head: FileHead;
  readonly sha256: string;
  readonly bytes: number;
}> {
  return peek(path, async (input, format) => {
    const head = await DECODERS[format].readHead(input);
    return { format, head, sha256: await DECODERS[format].readSeal(input), bytes: input.bytes };
  });
}

/**
 * How many rows of each table a file holds to be written, without checking it against its checksum: of a full all there
 * are.
 *
 * @throws CorruptError, IoError where that cannot be read.
 */
export function peekRows(path: string): Promise<ReadonlyMap<string, number>> {
  return peek(path, async (input, format) => {
    const { tables } = await DECODERS[format].readContents(input);
    return new Map(tables.map(({ head, upserts }) => [head.table, upserts]));
  });
}

async function peek<T>(
  path: string,
  read: (input: SealedInput, format: FileFormat) => Promise<T>,
): Promise<T> {
  const input = await SealedInput.open(path);
  try {
    return await read(input, await formatOf(input));
  } finally {
    await input.close();
  }
}

async function formatOf(input: SealedInput): Promise<FileFormat> {
  const start = Buffer.from(await input.read(0, Math.min(START_BYTES, input.bytes)));
  if (start.subarray(0, MAGIC.byteLength).equals(MAGIC)) {
    if (start.byteLength < MAGIC.byteLength + 4) throw input.corrupt("it is too short");
    assertFormat(input, start.readUInt32LE(MAGIC.byteLength));
    return "arrow";
  }
  const match = JSON_START.exec(start.toString("latin1"));
  if (match === null) throw input.corrupt("it does not begin like a backup file");
  assertFormat(input, Number(match[1]));
  return "json";
}

function assertFormat(input: SealedInput, format: number): void {
  if (format === FORMAT) return;
  const advice = format > FORMAT ? "; a newer lancedb-backup wrote it, or it is damaged" : "";
  throw new CorruptError(
    `${input.path} has the format number ${format}, and this version reads ${FORMAT}${advice}.`,
    { path: input.path },
  );
}

async function verifySeal(input: SealedInput, { readSeal, sealAt }: Decoder): Promise<string> {
  const announced = await readSeal(input);
  const end = sealAt(input.bytes);
  const actual = (await input.hash(end)).toString("hex");
  if (actual !== announced) {
    throw input.corrupt(`its checksum is ${actual}, and ${announced} is written at byte ${end}`);
  }
  return actual;
}
