import { assertKnown } from "../../checks.ts";
import { assertLabel } from "../../engine/format/names.ts";
import type { JsonObject, PartContent, StoredEntry, StoredPart } from "../../engine/snapshot.ts";
import type {
  Capture,
  CaptureRequest,
  CheckRequest,
  Entry,
  Holdings,
  Source,
  SourceDetails,
} from "../../engine/source-contract.ts";
import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { counted, formatBytes } from "../../util/format.ts";
import { pieceBytes } from "../piece-bytes.ts";
import { assertTables, wantedTables } from "../programs/server-database.ts";
import { type DumpMysqlOptions, MysqlDump } from "./dump-mysql.ts";
import { type MysqlAddress, parseMysqlUrl } from "./mysql-address.ts";

// A MySQL or MariaDB database as a source, and as a part of a snapshot (docs/formats.md, *A MySQL or MariaDB database as a part*).

/** The path of a part's one entry. */
const DUMP_ENTRY = "dump.sql";

export interface MysqlSourceOptions extends Omit<DumpMysqlOptions, "signal"> {
  /** In place of the one that is made of the address. */
  readonly id?: string | undefined;
}

/**
 * A MySQL or MariaDB database on a server, dumped by the dump program as it is at one moment while others write to it. How many rows its tables
 * have is known when all is read, and so not by `failOnShrink`.
 */
export class MysqlSource implements Source {
  readonly type = "mysql";
  readonly uri: string;
  readonly id: string;
  readonly #address: MysqlAddress;
  readonly #options: MysqlSourceOptions;

  private constructor(address: MysqlAddress, options: MysqlSourceOptions) {
    this.#address = address;
    this.#options = options;
    this.uri = address.uri;
    this.id = options.id ?? address.id;
  }

  /** Asks no server yet. @throws ValidationError for what is no address. */
  static open(url: string, options: MysqlSourceOptions = {}): MysqlSource {
    const known = { id: true, binDir: true, env: true, tables: true, excludeTables: true };
    assertKnown(options, "a MySQL database", known);
    if (options.id !== undefined) assertLabel(options.id, "source id");
    return new MysqlSource(parseMysqlUrl(url, { ...process.env, ...options.env }), options);
  }

  /** Connects, and has the dump program try. @throws as `capture` */
  async check(request: CheckRequest): Promise<string> {
    const found = await MysqlDump.check(this.#address, this.#dumpOptions(request));
    assertTables(this, found.tables, request);
    const { serverVersion, bytes } = found.facts;
    return `${this.uri}: ${serverVersion}, ${counted(found.tables.length, "table")}, ${formatBytes(bytes)}, to be dumped by ${found.program.path}`;
  }

  /**
   * @throws UnsupportedError where there is no dump program. @throws IoError where the server is not there, or does not let the user in or read a
   * table (`EACCES`). @throws ValidationError where there is no such database, or no table in it, unless that is allowed.
   */
  async capture(request: CaptureRequest): Promise<Capture> {
    const options = this.#dumpOptions(request);
    const dump = await MysqlDump.begin(this.#address, options);
    try {
      assertTables(this, dump.tables, request);
    } catch (error) {
      await dump[Symbol.asyncDispose]();
      throw error;
    }
    const { previous } = request;
    const size = previous?.entries[0]?.size ?? dump.facts.bytes;
    return new MysqlCapture(dump, options.tables !== undefined, pieceBytes(size, { previous }));
  }

  #dumpOptions(request: CheckRequest): DumpMysqlOptions {
    return { ...this.#options, ...wantedTables(request, this.#options), signal: request.signal };
  }
}

class MysqlCapture implements Capture {
  readonly capturedAt: Date;
  readonly warnings: Capture["warnings"];
  readonly #dump: MysqlDump;
  readonly #isSelected: boolean;
  readonly #pieceBytes: number;
  #isRead = false;

  constructor(dump: MysqlDump, isSelected: boolean, cut: number) {
    this.capturedAt = dump.capturedAt;
    this.#dump = dump;
    this.#isSelected = isSelected;
    this.#pieceBytes = cut;
    const tables = dump.notTransactional;
    const message = "tables without transactions may be from a different moment than the others";
    this.warnings = tables.length > 0 ? [{ message, meta: { tables: tables.join(", ") } }] : [];
  }

  async *entries(): AsyncGenerator<Entry> {
    const read = async function* (this: MysqlCapture) {
      yield* this.#dump.read();
      this.#isRead = true;
    };
    yield {
      path: DUMP_ENTRY,
      changesInPlace: true,
      pieceBytes: this.#pieceBytes,
      open: () => read.call(this),
    };
  }

  async finish(): Promise<SourceDetails> {
    if (!this.#isRead) throw new TypeError("The dump was not read to its end.");
    const { facts, program, rows, leftOut, notTransactional } = this.#dump;
    const tables = [...rows].map(([name, count]) => ({ name, rows: count }));
    const about: JsonObject = {
      ...{ serverVersion: facts.serverVersion, tables },
      ...(leftOut.length > 0 && { leftOut }),
      ...(this.#isSelected && { selection: this.#dump.tables }),
      ...(notTransactional.length > 0 && { notTransactional }),
    };
    const { charset, collation } = facts;
    return { about, details: { charset, collation, program: program.version, pieceBytes: this.#pieceBytes } };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dump[Symbol.asyncDispose]();
  }
}

/** What a part says of its database. */
export interface MysqlAbout {
  readonly serverVersion: string;
  readonly rows: ReadonlyMap<string, number>;
  readonly leftOut: readonly string[];
  readonly selection?: readonly string[] | undefined;
}

/** @throws CorruptError naming `place`. */
export function readAbout({ about }: Pick<StoredPart, "about">, place: string): MysqlAbout {
  const fields = new Fields(about, place, "about");
  fields.optionalTexts("notTransactional");
  return {
    serverVersion: fields.text("serverVersion"),
    rows: new Map(fields.objects("tables").map((table) => [table.text("name"), table.count("rows")])),
    leftOut: fields.optionalTexts("leftOut") ?? [],
    selection: fields.optionalTexts("selection"),
  };
}

export function readDetails(
  { details }: Pick<PartContent, "details">,
  place: string,
): { readonly charset: string; readonly collation: string } {
  const fields = new Fields(details, place, "details");
  fields.text("program");
  fields.count("pieceBytes");
  return { charset: fields.text("charset"), collation: fields.text("collation") };
}

export function holdingsOf({ rows, leftOut, selection }: MysqlAbout): Holdings {
  return { rows, leftOut, ...(selection && { selection }) };
}

/** @throws CorruptError naming `place`. */
export function entryOf({ entries }: Pick<PartContent, "entries">, place: string): StoredEntry {
  const [entry] = entries;
  if (entry?.path === DUMP_ENTRY && entries.length === 1) return entry;
  throw new CorruptError(`${place} is damaged: a MySQL database has one entry, ${DUMP_ENTRY}.`, {
    path: place,
  });
}
