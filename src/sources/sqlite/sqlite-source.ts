import { createReadStream, statSync } from "node:fs";
import { assertFlag, assertKnown, assertMilliseconds } from "../../checks.ts";
import { assertLabel } from "../../engine/format/names.ts";
import type {
  Capture,
  CaptureRequest,
  CheckRequest,
  Entry,
  Holdings,
  Source,
} from "../../engine/source-contract.ts";
import { isNotFound, UnsupportedError, ValidationError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import { excluder } from "../../lance/left-out.ts";
import { formatBytes } from "../../util/format.ts";
import { PAGE_BYTES, pieceBytes } from "../piece-bytes.ts";
import { identityOfPath } from "../source-identity.ts";
import type { DatabaseFacts } from "./inspect-database.ts";
import { type CopyOptions, SqliteCopy } from "./sqlite-copy.ts";
import { DATABASE_ENTRY, holdingsOf, writeAbout } from "./sqlite-part.ts";
import { databaseFile, sqliteUri } from "./sqlite-path.ts";

export interface SqliteOptions extends CopyOptions {
  /** By which its snapshots belong together. Default: made of its real path. */
  readonly id?: string | undefined;
}

/** Also where somebody else is waited for: transactions take milliseconds, and without a write-ahead log keep readers out. */
const LEAST_WAIT_MS = 2000;

const READ_BYTES = 1 << 20;

/**
 * A SQLite database, as it is at one moment while others write to it. A copy of it is made in the system's temporary directory, and
 * checked: page by page, index by index.
 */
export class SqliteSource implements Source {
  readonly type = "sqlite";
  readonly uri: string;
  readonly id: string;
  readonly #path: string;
  readonly #options: CopyOptions;
  /** Somebody has changed it while it was read without a lock. */
  #isBusy = false;

  private constructor(path: string, { id, ...options }: SqliteOptions) {
    this.#path = path;
    this.#options = options;
    this.uri = sqliteUri(path);
    this.id = id ?? identityOfPath("sqlite", path);
  }

  /** @param path of its file. @throws ValidationError where there is none. */
  static open(path: string, options: SqliteOptions = {}): SqliteSource {
    assertKnown(options, "a SQLite database", { id: true, compact: true, timeoutMs: true });
    if (options.id !== undefined) assertLabel(options.id, "source id");
    assertFlag(options.compact, "compact");
    assertMilliseconds(options.timeoutMs, "timeoutMs");
    return new SqliteSource(databaseFile(path), options);
  }

  /** Opens it as for a copy. @throws as `capture` */
  async check({ signal }: CheckRequest): Promise<string> {
    await using copy = await SqliteCopy.hold(this.#path, {
      ...this.#options,
      ...{ unlocked: !this.#isBusy, lockTimeoutMs: LEAST_WAIT_MS, signal },
    });
    return `${this.uri}: a database${copy.isWal ? " with a write-ahead log" : ""} of ${formatBytes(statSync(this.#path).size)}`;
  }

  /**
   * @throws ValidationError for a file that is no database, or one without a table, unless that is allowed.
   * @throws LockedError where transactions of others do not end. @throws CorruptError where it is damaged. @throws IoError
   */
  async capture(request: CaptureRequest): Promise<Capture> {
    const { signal, lockTimeoutMs = 0 } = request;
    const copy = await SqliteCopy.hold(this.#path, {
      ...this.#options,
      unlocked: !this.#isBusy,
      lockTimeoutMs: Math.max(lockTimeoutMs, LEAST_WAIT_MS),
      signal,
    });
    const capturedAt = new Date();
    try {
      // Nobody can write while it is held. With a write-ahead log all can, and other sources are captured first.
      if (!copy.isWal) await copy.write();
    } catch (error) {
      await copy[Symbol.asyncDispose]();
      throw error;
    }
    const onBusy = () => {
      this.#isBusy = true;
    };
    return new SqliteCapture(this.#path, copy, capturedAt, request, this.#options.compact ?? false, onBusy);
  }
}

class SqliteCapture implements Capture {
  readonly capturedAt: Date;
  readonly #path: string;
  readonly #copy: SqliteCopy;
  readonly #request: CaptureRequest;
  readonly #compact: boolean;
  readonly #onBusy: () => void;
  #facts: DatabaseFacts | undefined;

  constructor(
    path: string,
    copy: SqliteCopy,
    capturedAt: Date,
    request: CaptureRequest,
    compact: boolean,
    onBusy: () => void,
  ) {
    this.#path = path;
    this.#copy = copy;
    this.capturedAt = capturedAt;
    this.#request = request;
    this.#compact = compact;
    this.#onBusy = onBusy;
  }

  get holdings(): Holdings | undefined {
    return this.#facts && holdingsOf(this.#facts);
  }

  get warnings(): Capture["warnings"] {
    const { violations = [], unchecked = [] } = this.#facts ?? {};
    const meta = { database: this.#path };
    return [
      ...(violations.length > 0
        ? [{ message: "rows refer to rows that are not there (foreign keys)", meta: { ...meta, violations } }]
        : []),
      ...(unchecked.length > 0
        ? [
            {
              message: "tables could not be checked in full without the application's functions",
              meta: { ...meta, unchecked },
            },
          ]
        : []),
    ];
  }

  async *entries(): AsyncGenerator<Entry> {
    const { mode } = statSync(this.#path);
    if (this.#copy.isWal) await this.#write();
    const { file, facts } = await this.#copy.check();
    this.#assertWanted(facts);
    this.#facts = facts;
    const { size } = statSync(file);
    yield {
      path: DATABASE_ENTRY,
      size,
      changesInPlace: true,
      pieceBytes: pieceBytes(size, { least: PAGE_BYTES }),
      attributes: { mode: mode & 0o777 },
      open: ({ signal } = {}) => createReadStream(file, { highWaterMark: READ_BYTES, signal }),
    };
  }

  async #write(): Promise<void> {
    try {
      await this.#copy.write();
    } catch (error) {
      if (isNotFound(error)) this.#onBusy();
      throw error;
    }
  }

  /** A copy of a database has all of its tables. */
  #assertWanted({ tables }: DatabaseFacts): void {
    const { exclude, allowEmpty = false } = this.#request;
    if (tables.length === 0 && !allowEmpty) {
      throw new ValidationError(
        advice`${this.#path} has no table. If it is meant to be empty, back it up ${{ options: { allowEmpty: true } }}.`,
      );
    }
    const isExcluded = excluder(exclude);
    const named = tables.find(({ name }) => isExcluded(name));
    if (!named) return;
    throw new UnsupportedError(
      `The table ${named.name} of ${this.#path} is excluded, but a SQLite database is backed up whole.`,
    );
  }

  async finish() {
    const about = this.#facts && writeAbout({ ...this.#facts, compact: this.#compact });
    return { about: about ?? {}, details: {} };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#copy[Symbol.asyncDispose]();
  }
}
