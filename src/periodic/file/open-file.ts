import { Buffer } from "node:buffer";
import { CorruptError } from "../../errors.ts";
import { arrowSealAt, MAGIC, readArrowContents, readArrowIndex, readArrowSeal } from "./arrow-file.ts";
import {
  type BackupFileReader,
  type Contents,
  type FileFormat,
  type FileHead,
  FORMAT,
  type TableContents,
  type TableReader,
} from "./backup-file.ts";
import { jsonSealAt, readJsonContents, readJsonHead, readJsonSeal } from "./json-contents.ts";
import { SealedInput } from "./sealed-input.ts";

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
    const format = await formatOf(input);
    const sha256 = await verifySeal(input, format);
    const contents = format === "arrow" ? await readArrowContents(input) : await readJsonContents(input);
    return new OpenBackupFile(input, sha256, contents);
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
export async function peekBackupFile(path: string): Promise<{
  readonly format: FileFormat;
  readonly head: FileHead;
  readonly sha256: string;
  readonly bytes: number;
}> {
  const input = await SealedInput.open(path);
  try {
    const format = await formatOf(input);
    const head = format === "arrow" ? (await readArrowIndex(input)).head : await readJsonHead(input);
    return { format, head, sha256: await readSeal(input, format), bytes: input.bytes };
  } finally {
    await input.close();
  }
}

/**
 * How many rows of each table a file holds to be written, without checking it against its checksum: of a full all there
 * are.
 *
 * @throws CorruptError, IoError where that cannot be read.
 */
export async function peekRows(path: string): Promise<ReadonlyMap<string, number>> {
  const input = await SealedInput.open(path);
  try {
    const isArrow = (await formatOf(input)) === "arrow";
    const { tables } = isArrow ? await readArrowContents(input) : await readJsonContents(input);
    return new Map(tables.map(({ head, upserts }) => [head.table, upserts]));
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

function readSeal(input: SealedInput, format: FileFormat): Promise<string> {
  return format === "arrow" ? readArrowSeal(input) : readJsonSeal(input);
}

async function verifySeal(input: SealedInput, format: FileFormat): Promise<string> {
  const announced = await readSeal(input, format);
  const sealAt = format === "arrow" ? arrowSealAt(input.bytes) : jsonSealAt(input.bytes);
  const actual = (await input.hash(sealAt)).toString("hex");
  if (actual !== announced) {
    throw input.corrupt(`its checksum is ${actual}, and ${announced} is written at byte ${sealAt}`);
  }
  return actual;
}

class OpenBackupFile implements BackupFileReader {
  readonly path: string;
  readonly head: FileHead;
  readonly sha256: string;
  readonly #input: SealedInput;
  readonly #tables: readonly TableContents[];

  constructor(input: SealedInput, sha256: string, contents: Contents) {
    this.path = input.path;
    this.head = contents.head;
    this.sha256 = sha256;
    this.#input = input;
    this.#tables = contents.tables;
  }

  async *tables(): AsyncGenerator<TableReader> {
    yield* this.#tables;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close();
  }
}
