import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import type { Capture, CaptureRequest, CheckRequest, Source } from "../../engine/source-contract.ts";
import { CorruptError, UnsupportedError, ValidationError } from "../../errors.ts";
import { isVanished, toReadError } from "../../fs/io.ts";
import {
  assertNamesAreFree,
  assertNoneIsNested,
  assertTableId,
  databasePath,
  isNameTaken,
  listNested,
  listStrayTables,
  listTables,
  NAMESPACE_TABLE,
  parseTableId,
  type TableLocation,
} from "../../lance/database.ts";
import {
  type DatabaseIdentity,
  identifyDatabase,
  keepIdentity,
  setIdentity,
} from "../../lance/database-identity.ts";
import { ImageReader } from "../../lance/image.ts";
import { excluded, excluder, type LeftOutTable, unsupported } from "../../lance/left-out.ts";
import { whileFrozen } from "../../lance/lock/freeze.ts";
import { DEFAULT_LOCK_TIMEOUT_MS } from "../../lance/lock/lock-set.ts";
import { listManifests } from "../../lance/manifest.ts";
import { listStubs } from "../../lance/stubs.ts";
import { LanceDB } from "../../lance/which-lancedb.ts";
import { counted } from "../../util/format.ts";
import { captureFiles } from "./capture-files.ts";
import {
  aboutOf,
  assertNameable,
  assertTables,
  entriesOf,
  knownTables,
  snapshotVersion,
} from "./lance-entries.ts";
import { holdingsOf, writeAbout, writeVersions } from "./lancedb-part.ts";
import { Pins } from "./pins.ts";
import type { CapturedTable, KnownTable, TableCapture } from "./table-capture.ts";
import { reuseUnchanged } from "./unchanged.ts";

/**
 * A LanceDB database in a local directory. Captured from manifests alone, without LanceDB's library (unless they
 * are so old that they do not count their rows), while others write: the files are held by links until the capture is
 * disposed of.
 */
export class LanceDBSource implements Source {
  readonly type = "lancedb";
  readonly uri: string;
  readonly #chosenId: string | undefined;
  readonly #lancedb: LanceDB;
  #identity: DatabaseIdentity;

  private constructor(uri: string, chosenId: string | undefined, lancedb: LanceDB) {
    this.uri = uri;
    this.#lancedb = lancedb;
    this.#chosenId = chosenId;
    this.#identity = identifyDatabase(uri);
  }

  get keepsStill(): boolean {
    return true;
  }

  get canBeLookedAt(): boolean {
    return true;
  }

  get root(): string {
    return this.uri;
  }

  get id(): string {
    return this.#chosenId ?? this.#identity.id;
  }

  /**
   * @param options.id the database's id from now on, in place of the one that is kept beside it.
   * @param options.lancedb counts rows of tables of old versions that do not say how many they have.
   * @throws ValidationError where there is no such directory. @throws UnsupportedError where it is not local.
   */
  static async open(
    uri: string,
    options: { readonly id?: string | undefined; readonly lancedb?: LanceDB | undefined } = {},
  ): Promise<LanceDBSource> {
    const path = await databasePath(uri);
    if (!existsSync(path)) throw new ValidationError(`There is no database at ${path}.`);
    return new LanceDBSource(path, options.id, options.lancedb ?? new LanceDB());
  }

  /** Whether the id is made of the path, since nothing can be kept in the database: others with that path have it too. */
  get isIdDerived(): boolean {
    return this.#chosenId === undefined && this.#identity.origin === "derived";
  }

  /** Where the database cannot be written to, an id that was chosen counts for this once. */
  async keepId(): Promise<string> {
    if (this.#chosenId !== undefined) {
      await setIdentity(this.uri, this.#chosenId);
      return this.#chosenId;
    }
    this.#identity = await keepIdentity(this.uri, this.#identity);
    return this.#identity.id;
  }

  /**
   * @throws ValidationError where there is no table, unless that is allowed.
   * @throws LockedError where guarded writes do not end within the time limit, or a dead process left some.
   * @throws UnsupportedError, unless it is to be left out, CorruptError naming a table that cannot be captured in full.
   */
  async capture(request: CaptureRequest): Promise<Capture> {
    const tables = await this.captureTables(request);
    try {
      return this.#asCapture(tables, request);
    } catch (error) {
      await tables[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Reads the newest manifest of each table, and looks whether its files are there.
   *
   * @throws as `capture`
   */
  async check(request: CheckRequest): Promise<string> {
    const { locations, leftOut } = await this.#locate(request);
    const unsupportedTables: LeftOutTable[] = [];
    let tables = 0;
    for (const { id, directory } of locations) {
      request.signal?.throwIfAborted();
      const dataset = join(this.uri, directory);
      try {
        const [newest] = await listManifests(dataset);
        if (!newest) continue;
        const { files } = await new ImageReader(dataset).read(newest);
        // Rows are whole without an index.
        for (const { path, index } of files) if (!index) assertReadable(join(dataset, path), id);
        tables++;
      } catch (error) {
        if (request.onUnsupported !== "leave-out" || !(error instanceof UnsupportedError)) throw error;
        unsupportedTables.push(unsupported(id, error));
      }
    }
    if (tables === 0 && !request.allowEmpty) throw new ValidationError(`There is no table in ${this.uri}.`);
    const missing = [...leftOut, ...unsupportedTables].filter(({ why }) => why !== "excluded");
    const rest = missing.length === 0 ? "" : `, ${missing.length} left out`;
    return `${this.uri}: ${counted(tables, "table")}${rest}`;
  }

  /** The same, table by table. An empty database has none. @throws NotFoundError where a file goes meanwhile. */
  async captureTables(request: CaptureRequest): Promise<TableCapture> {
    try {
      return await this.#captureFrozen(request);
    } catch (error) {
      if (!isVanished(error)) throw error;
      const { path = this.uri } = error as NodeJS.ErrnoException;
      throw toReadError(error, path);
    }
  }

  async #captureFrozen(request: CaptureRequest): Promise<TableCapture> {
    const { tables, signal, logger, lockTimeoutMs: timeoutMs = DEFAULT_LOCK_TIMEOUT_MS } = request;
    const isReadOnly = request.writesNothing ?? false;
    const isExcluded = excluder(request.exclude);
    const isNamed = (id: string) => tables === undefined || id === NAMESPACE_TABLE || tables.includes(id);
    const wants = (id: string) => isNamed(id) && !isExcluded(id);
    const known = knownTables(request);
    const { result, taken } = await whileFrozen(
      this.uri,
      { wants, timeoutMs, signal, logger, isReadOnly },
      async () => {
        const capture = await this.#capture(request, known);
        try {
          await request.whileHeld?.();
        } catch (error) {
          await capture[Symbol.asyncDispose]();
          throw error;
        }
        return capture;
      },
      (capture) => Promise.resolve(capture[Symbol.asyncDispose]()),
    );
    return { ...result, taken };
  }

  #asCapture(capture: TableCapture, request: CaptureRequest): Capture {
    const { tables, stubs, strays, taken } = capture;
    assertTables(capture, this.uri, request.allowEmpty);
    assertNameable(tables, this.uri);
    const about = aboutOf(capture, request);
    const details = writeVersions(
      tables.map(({ directory, versions }) => ({ directory, versions: versions.map(snapshotVersion) })),
    );
    const missing = "names that LanceDB lists as tables hold none, and are not in the snapshot";
    const copied = "a copy of a table's directory is not in the snapshot";
    return {
      capturedAt: new Date(capture.capturedAt),
      holdings: holdingsOf(about),
      warnings: [
        ...(stubs.length > 0 ? [{ message: missing, meta: { names: stubs } }] : []),
        ...strays.map((directory) => ({ message: copied, meta: { directory } })),
      ],
      async *entries() {
        for (const table of tables) yield* entriesOf(table);
      },
      finish: () => Promise.resolve({ about: writeAbout({ ...about, taken }), details }),
      [Symbol.asyncDispose]: () => Promise.resolve(capture[Symbol.asyncDispose]()),
    };
  }

  async #capture(
    request: CaptureRequest,
    known: ReadonlyMap<string, KnownTable>,
  ): Promise<Omit<TableCapture, "taken">> {
    const pins = new Pins(this.uri);
    try {
      const capturedAt = Date.now();
      const tables: CapturedTable[] = [];
      const refused: LeftOutTable[] = [];
      const take = async (location: TableLocation) => {
        request.signal?.throwIfAborted();
        try {
          const table =
            (await this.#unchanged(location, known, request)) ??
            (await this.#changed(location, pins, request));
          if (table) tables.push(table);
        } catch (error) {
          const leaves = request.onUnsupported === "leave-out" && !isNamespaces(location);
          if (!leaves || !(error instanceof UnsupportedError)) throw error;
          refused.push(unsupported(location.id, error));
        }
      };
      // The list of namespaces first: a table that it names is there when the others are looked for.
      let found = await this.#locate(request);
      const list = found.locations.find(isNamespaces);
      if (list) {
        await take(list);
        found = await this.#locate(request);
      }
      for (const location of found.locations) if (!isNamespaces(location)) await take(location);
      tables.sort(byId);
      const leftOut = [...found.leftOut, ...refused].sort((a, b) => (a.table < b.table ? -1 : 1));
      const strays = request.tables === undefined ? await listStrayTables(this.uri) : [];
      const directories = new Set(tables.map(({ directory }) => directory));
      const stubs = request.tables ? [] : await listStubs(this.uri, directories);
      const release = async () => pins.release();
      return { tables, leftOut, stubs, strays, capturedAt, [Symbol.asyncDispose]: release };
    } catch (error) {
      pins.release();
      throw error;
    }
  }

  async #unchanged(
    location: TableLocation,
    tables: ReadonlyMap<string, KnownTable>,
    { history = "all" }: CaptureRequest,
  ): Promise<CapturedTable | undefined> {
    const known = tables.get(location.directory);
    return known && reuseUnchanged(this.uri, location, known, history);
  }

  async #changed(
    location: TableLocation,
    pins: Pins,
    request: CaptureRequest,
  ): Promise<CapturedTable | undefined> {
    const held = request.writesNothing ? undefined : await pins.directory();
    return captureFiles(this.#lancedb, this.uri, location, held, request);
  }

  /** With a table of a namespace goes what LanceDB knows of namespaces: without that it is not found. */
  async #locate(request: CaptureRequest): Promise<Located> {
    const { tables: wanted, onUnsupported } = request;
    const isExcluded = excluder(request.exclude);
    const all = await listTables(this.uri);
    const leftOut: LeftOutTable[] = [];
    if (onUnsupported !== "leave-out") assertNamesAreFree(all);
    const usable = all.filter((table) => {
      if (!isNameTaken(table)) return true;
      leftOut.push(
        unsupported(NAMESPACE_TABLE, "a root table of this name cannot be told from LanceDB's own"),
      );
      return false;
    });
    if (!wanted) {
      for (const id of await listNested(this.uri)) {
        if (isExcluded(id)) leftOut.push(excluded(id));
        else if (onUnsupported === "leave-out") leftOut.push(unsupported(id, "its name has a slash"));
        else await assertNoneIsNested(this.uri);
      }
    }
    const ids = new Set(wanted ?? usable.map(({ id }) => id));
    for (const id of wanted ?? []) {
      assertTableId(id);
      if (!usable.some((table) => table.id === id)) {
        throw new ValidationError(`There is no table ${id} in ${this.uri}.`);
      }
    }
    if (wanted?.some((id) => parseTableId(id).namespacePath.length > 0)) ids.add(NAMESPACE_TABLE);
    const locations = usable.filter((table) => ids.has(table.id) && !isExcluded(table.id));
    for (const { id } of usable) if (ids.has(id) && isExcluded(id)) leftOut.push(excluded(id));
    return { locations, leftOut };
  }
}

interface Located {
  readonly locations: readonly TableLocation[];
  /** What is left out without a look into it. */
  readonly leftOut: readonly LeftOutTable[];
}

function assertReadable(path: string, table: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    if (!isVanished(error)) throw toReadError(error, path);
    throw new CorruptError(`Table ${table} is not complete: ${path} is missing.`, { path, cause: error });
  }
}

function isNamespaces({ id }: TableLocation): boolean {
  return id === NAMESPACE_TABLE;
}

function byId(a: CapturedTable, b: CapturedTable): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
