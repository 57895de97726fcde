import { basename } from "node:path";
import { CorruptError, ValidationError } from "../../errors.ts";
import { parseFileName } from "../chain/chain-files.ts";
import {
  type BackupFileReader,
  type FileHead,
  isoTime,
  type TablePosition,
  type TableReader,
} from "../file/backup-file.ts";
import { openBackupFile } from "../file/open-file.ts";
import { checkTable } from "./apply-table.ts";

/** So many files of a chain stay open: they can be read to the end though others remove them meanwhile. */
const MOST_OPEN = 64;

/** A file of a chain that was read and checked. */
export class CheckedFile {
  readonly path: string;
  readonly head: FileHead;
  readonly sha256: string;
  #open: BackupFileReader | undefined;

  constructor(file: BackupFileReader, isKeptOpen: boolean) {
    this.path = file.path;
    this.head = file.head;
    this.sha256 = file.sha256;
    this.#open = isKeptOpen ? file : undefined;
  }

  /**
   * Reads the file, as it was checked.
   *
   * @throws CorruptError, IoError where it was closed, and is not there as it was.
   */
  async read(use: (file: BackupFileReader) => Promise<void>): Promise<void> {
    if (this.#open !== undefined) return use(this.#open);
    await using file = await openBackupFile(this.path);
    if (file.sha256 !== this.sha256) {
      throw new CorruptError(`${this.path} was replaced while it was restored.`, { path: this.path });
    }
    await use(file);
  }

  async close(): Promise<void> {
    await this.#open?.[Symbol.asyncDispose]();
    this.#open = undefined;
  }
}

/** A chain whose files were all read and checked, until disposed of. */
export class OpenChain implements AsyncDisposable {
  readonly files: readonly CheckedFile[];

  private constructor(files: readonly CheckedFile[]) {
    this.files = files;
  }

  /**
   * Opens the files and holds them to one another: each whole, each after the one that it follows, of one
   * database, and each table's changes leading on from where the table was left.
   *
   * @throws CorruptError, ValidationError naming the file and what is wrong with it.
   */
  static async open(paths: readonly string[]): Promise<OpenChain> {
    const chain: CheckedFile[] = [];
    try {
      const tables = new Map<string, TablePosition | undefined>();
      for (const path of paths) {
        const file = await openBackupFile(path);
        const isKeptOpen = chain.length < MOST_OPEN;
        const checked = new CheckedFile(file, isKeptOpen);
        const before = chain.at(-1);
        chain.push(checked);
        try {
          checkHead(file, before);
          for await (const table of file.tables()) checkStep(file, table, tables);
        } finally {
          if (!isKeptOpen) await file[Symbol.asyncDispose]();
        }
      }
      return new OpenChain(chain);
    } catch (error) {
      for (const file of chain) await file.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.files) await file.close();
  }
}

function checkHead(file: BackupFileReader, before: CheckedFile | undefined): void {
  const { path, head } = file;
  const wrong = (what: string) => new CorruptError(`${path} ${what}.`, { path });
  const name = parseFileName(basename(path));
  if (name && (name.type !== head.type || isoTime(name.micros) !== head.timestamp)) {
    throw wrong(`says that it is a ${head.type} of ${head.timestamp}; it was renamed, or is another file`);
  }
  if (before === undefined) {
    if (head.type !== "full") throw new ValidationError(`${path} is a delta, and no full stands before it.`);
    return;
  }
  if (head.type !== "delta" || head.follows === undefined) throw wrong("is a full in the middle of a chain");
  if (head.database !== before.head.database) throw wrong(`is of another database than ${before.path}`);
  if (head.follows.file !== basename(before.path) || head.follows.sha256 !== before.sha256) {
    throw wrong(`does not follow ${before.path} as it is there: its checksum is another`);
  }
}

function checkStep(
  file: BackupFileReader,
  reader: TableReader,
  tables: Map<string, TablePosition | undefined>,
): void {
  checkTable(file, reader);
  const { table, form, from, to } = reader.head;
  const known = tables.get(table);
  const leads = from === undefined || (known?.version === from.version && known.digest === from.digest);
  const continues = form === "changes" || form === "dropped";
  if ((continues && !tables.has(table)) || (tables.has(table) && !leads)) {
    throw new CorruptError(
      `${file.path} leads on from version ${from?.version ?? "none"} of the table ${table}, and the file before it ends at ${known?.version ?? "none"}.`,
      { path: file.path },
    );
  }
  if (form === "dropped") tables.delete(table);
  else tables.set(table, to);
}
