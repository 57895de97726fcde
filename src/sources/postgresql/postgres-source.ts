import { createReadStream, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { assertFlag, assertKnown } from "../../checks.ts";
import { assertLabel } from "../../engine/format/names.ts";
import type { JsonObject } from "../../engine/snapshot.ts";
import type {
  Capture,
  CaptureRequest,
  CheckRequest,
  Entry,
  Holdings,
  Source,
  SourceDetails,
} from "../../engine/source-contract.ts";
import { IoError, ValidationError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
import { counted, formatBytes } from "../../util/format.ts";
import { pieceBytes } from "../piece-bytes.ts";
import { assertTables, wantedTables } from "../programs/server-database.ts";
import { type DumpPostgresOptions, PostgresDump } from "./dump-postgres.ts";
import { type PostgresAddress, parsePostgresUrl } from "./postgres-address.ts";
import { tableId } from "./postgres-catalog.ts";
import { type CountedTable, DUMP_ENTRIES, GLOBALS_ENTRY, holdingsOf, writeAbout } from "./postgres-part.ts";

export interface PostgresSourceOptions extends Omit<DumpPostgresOptions, "signal"> {
  /** In place of the one that is made of the address. */
  readonly id?: string | undefined;
  /** Whether roles and tablespaces of the server come along, without passwords. Default false. */
  readonly globals?: boolean | undefined;
}

const OPTIONS: Readonly<Record<keyof PostgresSourceOptions, true>> = {
  ...{ id: true, format: true, jobs: true, globals: true, binDir: true, env: true },
  ...{ schemas: true, excludeSchemas: true, tables: true, excludeTables: true },
};

const READ_BYTES = 1 << 20;
const MOST_JOBS = 64;
/** So many names are in a message. */
const MOST_TOLD = 10;

/**
 * A PostgreSQL database on a server, dumped by pg_dump as it is at one moment while others write to it.
 */
export class PostgresSource implements Source {
  readonly type = "postgresql";
  readonly uri: string;
  readonly id: string;
  readonly #address: PostgresAddress;
  readonly #options: PostgresSourceOptions;

  private constructor(address: PostgresAddress, options: PostgresSourceOptions) {
    this.#address = address;
    this.#options = options;
    this.uri = address.uri;
    this.id = options.id ?? address.id;
  }

  /** Asks no server yet. @throws ValidationError for what is no address, or an option that does not fit. */
  static open(url: string, options: PostgresSourceOptions = {}): PostgresSource {
    assertKnown(options, "a PostgreSQL database", OPTIONS);
    const { id, format = "sql", jobs, globals } = options;
    if (id !== undefined) assertLabel(id, "source id");
    if (!Object.hasOwn(DUMP_ENTRIES, format)) {
      throw new ValidationError(
        `format must be ${Object.keys(DUMP_ENTRIES).join(", ")}, not ${JSON.stringify(format)}.`,
      );
    }
    assertJobs(jobs);
    if (jobs !== undefined && jobs > 1 && format !== "directory") {
      throw new ValidationError(
        'Several jobs dump into the format directory alone: say format: "directory".',
      );
    }
    assertFlag(globals, "globals");
    return new PostgresSource(parsePostgresUrl(url, { ...process.env, ...options.env }), options);
  }

  /** Connects, and finds the dump program. @throws as `capture` */
  async check(request: CheckRequest): Promise<string> {
    await using dump = await PostgresDump.begin(this.#address, this.#dumpOptions(request));
    const { tables } = dump.selected;
    assertTables(this, tables, request);
    const mayNot = await dump.unreadable();
    if (mayNot.length > 0) {
      throw new IoError(`The user may not read of ${this.uri}: ${mayNot.slice(0, MOST_TOLD).join(", ")}.`, {
        errno: "EACCES",
      });
    }
    return `${this.uri}: PostgreSQL ${dump.facts.serverVersion}, ${counted(tables.length, "table")}, ${formatBytes(dump.size)}, to be dumped by ${dump.program.path}`;
  }

  /**
   * @throws UnsupportedError where there is no pg_dump for the server's version. @throws IoError where the server is not there, or does not
   * let the user in or read a table (`EACCES`). @throws ValidationError where there is no such database, or no table in it, unless that is allowed.
   */
  async capture(request: CaptureRequest): Promise<Capture> {
    const options = this.#dumpOptions(request);
    const dump = await PostgresDump.begin(this.#address, options);
    try {
      assertTables(this, dump.selected.tables, request);
    } catch (error) {
      await dump[Symbol.asyncDispose]();
      throw error;
    }
    return new PostgresCapture(dump, {
      isSelected: (options.tables ?? options.schemas) !== undefined,
      globals: this.#options.globals ?? false,
      pieceBytes: pieceBytes(dump.size, { previous: request.previous }),
    });
  }

  #dumpOptions(request: CheckRequest): DumpPostgresOptions {
    return { ...this.#options, ...wantedTables(request, this.#options), signal: request.signal };
  }
}

export function assertJobs(jobs: number | undefined): void {
  if (jobs === undefined || (Number.isInteger(jobs) && jobs >= 1 && jobs <= MOST_JOBS)) return;
  throw new ValidationError(`jobs must be a whole number from 1 to ${MOST_JOBS}, not ${jobs}.`);
}

interface CaptureSettings {
  readonly isSelected: boolean;
  readonly globals: boolean;
  readonly pieceBytes: number;
}

class PostgresCapture implements Capture {
  readonly capturedAt: Date;
  readonly #dump: PostgresDump;
  readonly #settings: CaptureSettings;
  #tables: readonly CountedTable[] | undefined;
  readonly #toRead = new Set<string>();

  constructor(dump: PostgresDump, settings: CaptureSettings) {
    this.capturedAt = dump.capturedAt;
    this.#dump = dump;
    this.#settings = settings;
  }

  get holdings(): Holdings | undefined {
    return this.#tables && holdingsOf(this.#about(this.#tables));
  }

  async *entries(): AsyncGenerator<Entry> {
    const rows = await this.#dump.countRows();
    this.#tables = this.#dump.selected.tables.map((table) => ({
      schema: table.schema,
      name: table.name,
      rows: rows.get(tableId(table)) ?? 0,
    }));
    const { format } = this.#dump;
    const path = DUMP_ENTRIES[format];
    if (format === "directory") yield* this.#filesOf(await this.#dump.writeDirectory(), path);
    else yield this.#stream(path, () => this.#dump.read());
    if (this.#settings.globals) yield this.#stream(GLOBALS_ENTRY, () => this.#dump.readGlobals());
  }

  *#filesOf(directory: string, path: string): Generator<Entry> {
    try {
      for (const name of readdirSync(directory)) {
        const file = join(directory, name);
        yield {
          path: `${path}/${name}`,
          size: statSync(file).size,
          ...this.#cut(),
          open: ({ signal } = {}) => createReadStream(file, { highWaterMark: READ_BYTES, signal }),
        };
      }
    } catch (error) {
      throw toIoError(error, "read", directory);
    }
  }

  #stream(path: string, read: () => AsyncIterable<Uint8Array>): Entry {
    const toRead = this.#toRead;
    toRead.add(path);
    const open = async function* () {
      yield* read();
      toRead.delete(path);
    };
    return { path, ...this.#cut(), open };
  }

  #cut(): Pick<Entry, "changesInPlace" | "pieceBytes"> {
    return { changesInPlace: true, pieceBytes: this.#settings.pieceBytes };
  }

  async finish(): Promise<SourceDetails> {
    if (!this.#tables || this.#toRead.size > 0) throw new TypeError("The dump was not read to its end.");
    const { facts, program } = this.#dump;
    const { serverMajor, encoding, collate, ctype } = facts;
    const details: JsonObject = {
      ...{ serverMajor, encoding, collate, ctype },
      ...{ program: program.version, programMajor: program.major, pieceBytes: this.#settings.pieceBytes },
    };
    return { about: writeAbout(this.#about(this.#tables)), details };
  }

  #about(tables: readonly CountedTable[]) {
    const { format, facts, selected } = this.#dump;
    return {
      ...{ format, serverVersion: facts.serverVersion, tables, leftOut: selected.leftOut },
      ...(this.#settings.isSelected && { selection: tables.map(tableId) }),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dump[Symbol.asyncDispose]();
  }
}
