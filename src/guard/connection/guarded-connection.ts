import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Connection, OpenTableOptions, Table } from "@lancedb/lancedb";
import { UnsupportedError } from "../../errors.ts";
import { isError } from "../../fs/io.ts";
import {
  isTooLong,
  listTables,
  NAMESPACE_TABLE,
  namespacedDirectories,
  rootDirectory,
  tableId,
} from "../../lance/database.ts";
import { assertNamespaces, takesPaths } from "../../lance/lacking.ts";
import { privateDirectory } from "../../lance/private-directory.ts";
import { isPlainFile, isRealDirectory, linkTarget } from "../../lance/stubs.ts";
import { idOfDirectory } from "../../lance/table-directory.ts";
import { isUnderWay, moveStub } from "../rollback/set-aside.ts";
import { guardMaterialized, guardTable, withMembers } from "./guarded-table.ts";
import { HandleView } from "./handle-view.ts";
import { type Creation, creationOf, dropAside, highestSeen, liftAbove } from "./make-and-drop.ts";
import type { OpenWork } from "./open-work.ts";

/** The connection that guarded work gets: LanceDB's own, with every write going through the operation. */
export function guardConnection(operation: OpenWork, connection: Connection): Connection {
  const guard = new ConnectionGuard(operation, connection);
  const call = <R>(task: () => Promise<R>) => operation.call(task);
  return withMembers(connection, {
    openTable: (...args: Parameters<Connection["openTable"]>) => guard.openTable(...args),
    createTable: (...args: unknown[]) => call(() => guard.createTable(guard.placed(args, pathAt(args)))),
    createEmptyTable: (...args: unknown[]) =>
      call(() => guard.createEmptyTable(guard.placed(args, pathAt(args)))),
    createMaterializedView: (...args: Parameters<Connection["createMaterializedView"]>) =>
      call(() => guard.createMaterializedView(...args)),
    openMaterializedView: (name: string) => guard.openMaterializedView(name),
    cloneTable: (...args: Parameters<Connection["cloneTable"]>) => call(() => guard.cloneTable(...args)),
    dropTable: (name: string, given?: string[]) =>
      call(() => {
        const [, path] = guard.placed([name, given], 1) as [string, string[] | undefined];
        return guard.drop(name, path, () => connection.dropTable(name, path));
      }),
    dropTableAsync: (name: string, path?: string[]) =>
      call(() =>
        guard.drop(name, path, async () => {
          const job = await connection.dropTableAsync(name, path);
          await job.wait();
          return job;
        }),
      ),
    dropAllTables: (path?: string[]) => call(() => guard.dropAllTables(path)),
    createNamespace: (...args: Parameters<Connection["createNamespace"]>) =>
      Array.isArray(args[0])
        ? operation.writeNamespace(args[0], () => connection.createNamespace(...args))
        : connection.createNamespace(...args),
    dropNamespace: (...args: Parameters<Connection["dropNamespace"]>) =>
      call(() => guard.dropNamespace(...args)),
    // What takes the native connection from it would write past all of this, which single-writer work does not mind.
    get inner(): unknown {
      if (operation.adoptsAll) return Reflect.get(connection, "inner");
      throw new UnsupportedError(
        "Guarded work hands over no native connection, which a permutation's persist() asks for: its table would be made past the guard. Leave persist() out and make a table of what execute() gives, or call it outside of guarded work.",
      );
    },
  } as Partial<Record<keyof Connection, unknown>>);
}

class ConnectionGuard {
  readonly #operation: OpenWork;
  readonly #connection: Connection;

  constructor(operation: OpenWork, connection: Connection) {
    this.#operation = operation;
    this.#connection = connection;
  }

  /**
   * Below 0.22 LanceDB takes a namespace's path for the options, or passes over it, and would use the root's table of
   * that name.
   *
   * @param at where in the arguments of a call the path may be
   * @returns the arguments without it, where LanceDB knows no paths and it is empty.
   * @throws UnsupportedError where it is not.
   */
  placed(args: readonly unknown[], at: number): unknown[] {
    const path = args[at];
    if (takesPaths(this.#connection) || !Array.isArray(path)) return [...args];
    assertNamespaces(this.#connection, path);
    return args.filter((_, index) => index !== at);
  }

  async openTable(...given: Parameters<Connection["openTable"]>): Promise<Table> {
    const args = this.placed(given, 1) as typeof given;
    const id = idOf(args[0], args[1]);
    if (id) await this.#operation.healIfDamaged(id);
    const open = () => this.#connection.openTable(...args);
    if (!id) return open();
    const isPinned = versionOf(args) !== undefined;
    return guardTable(this.#operation, id, await HandleView.open(this.#operation, id, open, isPinned));
  }

  async openMaterializedView(name: string) {
    const id = tableId(name);
    const opening = this.#connection.openMaterializedView(name);
    const view = await HandleView.open(this.#operation, id, async () => (await opening).table());
    return guardMaterialized(this.#operation, id, await opening, view);
  }

  createTable(args: unknown[]): Promise<Table> {
    return this.#createAs(creationOf(args), args, this.#connection.createTable);
  }

  createEmptyTable(args: unknown[]): Promise<Table> {
    return this.#createAs(creationOf(args), args, this.#connection.createEmptyTable);
  }

  cloneTable(...args: Parameters<Connection["cloneTable"]>): Promise<Table> {
    const options = args[2] as { targetNamespacePath?: string[]; targetNamespace?: string[] } | undefined;
    const path = options?.targetNamespacePath ?? options?.targetNamespace ?? []; // the latter below 0.30
    return this.#create(args[0], path, () => this.#connection.cloneTable(...args));
  }

  async createMaterializedView(...args: Parameters<Connection["createMaterializedView"]>) {
    const id = idOf(args[0], []);
    if (!id) return this.#connection.createMaterializedView(...args);
    let view: Awaited<ReturnType<Connection["createMaterializedView"]>> | undefined;
    await this.#create(args[0], [], async () => {
      view = await this.#connection.createMaterializedView(...args);
      return view.table();
    });
    const made = view as NonNullable<typeof view>;
    return guardMaterialized(this.#operation, id, made, HandleView.fresh(this.#operation, id, made.table()));
  }

  /**
   * Drops a table in a way that loses nothing: its directory is renamed aside, then LanceDB drops the empty
   * one that stands in its place.
   */
  async drop<R>(name: string, path: string[] | undefined, run: () => Promise<R>): Promise<R> {
    const id = this.#droppedBy(name, path);
    if (!id) return run();
    return this.#dropOne(id, run);
  }

  /**
   * Told to drop the root table `0123abcd_ns$t`, LanceDB removes the directory `0123abcd_ns$t.lance`, which is that
   * of `t.lance` in the namespace; and so it does when it drops all tables.
   */
  #droppedBy(name: string, path: string[] | undefined): string | undefined {
    const id = idOf(name, path);
    if (id || (path && path.length > 0)) return id;
    const directory = `${name}.lance`;
    const isThere = !/[/\\]/.test(directory) && existsSync(join(this.#operation.database, directory));
    return isThere ? idOfDirectory(directory) : undefined;
  }

  async dropAllTables(given?: string[]): Promise<void> {
    const [path] = this.placed([given], 0) as [string[] | undefined];
    for (const name of await this.#connection.tableNames(path ?? [])) {
      if (name === NAMESPACE_TABLE) continue; // which 0.30 lists
      await this.drop(name, path, () => this.#connection.dropTable(name, path));
    }
  }

  /** LanceDB refuses where anything is in the namespace; should it ever cascade, the way back is there. */
  async dropNamespace(...args: Parameters<Connection["dropNamespace"]>) {
    const [path, options] = args;
    if (!Array.isArray(path)) return this.#connection.dropNamespace(...args);
    if (options?.behavior === "cascade") {
      const prefix = [...path, ""].join("$");
      for (const { id } of await listTables(this.#operation.database)) {
        if (id.startsWith(prefix)) await this.#operation.capture(id);
      }
    }
    return this.#operation.writeNamespace(path, () => this.#connection.dropNamespace(...args));
  }

  /**
   * Whether LanceDB has made the table, or has opened what others made a moment before, its answer does not tell: so
   * it is told to refuse, and then to open.
   */
  async #createAs(
    { name, path, mode, refusing }: Creation,
    args: unknown[],
    create: (...args: never[]) => Promise<Table>,
  ): Promise<Table> {
    const run = (given: readonly unknown[]) => () =>
      Reflect.apply(create, this.#connection, given as never[]) as Promise<Table>;
    if (mode !== "open") return this.#create(name, path, run(args));
    try {
      return await this.#create(name, path, run(refusing));
    } catch (error) {
      const isThere = isError(error) && /already exists/i.test(error.message);
      const id = isThere && idOf(name, path);
      if (!id || (await this.#operation.headOf(id)) === 0) throw error;
      return this.openTable(name, [...path]);
    }
  }

  async #create(name: string, path: readonly string[], run: () => Promise<Table>): Promise<Table> {
    const id = idOf(name, path);
    if (!id) return run();
    const table = await this.#createOne(id, run);
    return guardTable(this.#operation, id, HandleView.fresh(this.#operation, id, table));
  }

  async #createOne(id: string, run: () => Promise<Table>): Promise<Table> {
    const operation = this.#operation;
    await operation.capture(id);
    await this.#moveStub(id);
    let above = 0;
    const made = await operation.write({
      table: id,
      intent: async () => {
        above = await operation.headOf(id);
        if (above > 0) return { step: "commit", table: id, kinds: ["overwrite"], above, several: false };
        const root = rootDirectory(id);
        const isFile = root !== undefined && isPlainFile(join(operation.database, root));
        const existing = root ? (isFile ? [root] : []) : await namespacedDirectories(operation.database, id);
        return { step: "create", table: id, existing };
      },
      run,
      outcome: async (table) => {
        const version = await table.version();
        if (above > 0) return { versions: version > above ? [version] : [] };
        // A creation is one commit. What stands before it, others have made since, and it wrote over that.
        return { versions: [version], directory: await operation.directoryOf(id) };
      },
    });
    const seen = above > 0 ? 0 : highestSeen(operation, id);
    if (seen > 0 && (await made.version()) <= seen) {
      await liftAbove(operation, id, seen);
      await made.checkoutLatest();
    }
    return made;
  }

  /** What has a table's name and is none is somebody's: LanceDB would make the table in it. It stays aside for good. */
  async #moveStub(id: string): Promise<void> {
    const operation = this.#operation;
    const { database, logger, entry } = operation;
    const directory = await this.#stubOf(id);
    if (directory === undefined) return;
    // The owner's file gives signs of life, by the clock of the file system that the stub lies on.
    const { mtimeMs: now } = statSync(entry.ownerFile);
    if (await isUnderWay(join(database, directory), now)) {
      operation.movedStubs.delete(id);
      return;
    }
    const aside = join("others", `${entry.id}-stub-${operation.nextAside()}`, directory);
    const kept = await operation.write({
      table: id,
      intent: () => ({ step: "stub", table: id, directory, aside }),
      run: () => moveStub(database, directory, aside),
      outcome: () => ({ versions: [] }),
    });
    if (kept === undefined) return;
    logger.warn("files that lay under the name of a table that is being made were moved aside", {
      table: id,
      path: kept,
    });
  }

  /** The directory that has a table's name since before the work, and is no table; undefined where there is none. */
  async #stubOf(id: string): Promise<string | undefined> {
    const { database, movedStubs } = this.#operation;
    const before = this.#operation.captured(id);
    const directory = rootDirectory(id);
    if (before?.state !== "absent" || !before.stub || directory === undefined || movedStubs.has(id))
      return undefined;
    if (!isRealDirectory(join(database, directory)) || (await this.#operation.headOf(id)) > 0)
      return undefined;
    movedStubs.add(id);
    return directory;
  }

  async #dropStub<R>(id: string, run: () => Promise<R>): Promise<R> {
    const operation = this.#operation;
    const { database, entry } = operation;
    const directory = await this.#stubOf(id);
    if (directory === undefined) return run();
    const aside = `${entry.id}/dropped-${operation.nextAside()}`;
    return operation.write({
      table: id,
      intent: () => ({ step: "stub", table: id, directory, aside }),
      run: () => dropAside(database, { table: id, directory, aside }, run, operation.mustFail),
      outcome: () => ({ versions: [] }),
    });
  }

  /** Where a table that is dropped goes; for good, where it was made in a directory with somebody else's files. */
  #asideOf(id: string, directory: string): string {
    const operation = this.#operation;
    const { entry, logger } = operation;
    const before = operation.captured(id);
    const isShared = before?.state === "absent" && before.stub === true && !operation.movedStubs.has(id);
    if (!isShared) return `${entry.id}/dropped-${operation.nextAside()}`;
    operation.movedStubs.add(id);
    const aside = join("others", `${entry.id}-stub-${operation.nextAside()}`, directory);
    logger.warn("a table that is dropped lies in a directory with files of others: it is kept aside", {
      table: id,
      path: join(privateDirectory(operation.database, "aside"), aside),
    });
    return aside;
  }

  async #dropOne<R>(id: string, run: () => Promise<R>): Promise<R> {
    const operation = this.#operation;
    await operation.capture(id);
    const directory = await operation.directoryOf(id);
    if (!directory) return run();
    if ((await operation.headOf(id)) === 0) return this.#dropStub(id, run);
    const aside = this.#asideOf(id, directory);
    const link = linkTarget(join(operation.database, directory));
    if (link !== undefined) {
      const meta = { table: id, path: link };
      operation.logger.warn(
        "a table that is a symbolic link was dropped: LanceDB leaves its files there",
        meta,
      );
    }
    return operation.write({
      table: id,
      intent: () => ({ step: "drop", table: id, directory, aside }),
      run: () => dropAside(operation.database, { table: id, directory, aside }, run, operation.mustFail),
      outcome: () => ({ versions: [] }),
    });
  }
}

/**
 * Undefined for a name that LanceDB refuses: the call goes on to it, and brings its own error.
 *
 * @throws UnsupportedError for a name that LanceDB takes and we cannot guard: never a write past the guard.
 */
function idOf(name: unknown, path: readonly string[] | undefined): string | undefined {
  try {
    return tableId(name as string, path);
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    const isRoot = path === undefined || path.length === 0;
    const whole = [...(path ?? []), name].join("$");
    if (typeof name !== "string" || isTooLong(whole) || (isRoot && !LANCEDB_TAKES.test(name)))
      return undefined;
    throw new UnsupportedError(
      `Table ${JSON.stringify(whole)} has a name that guarded work cannot use: letters, digits, "_", "-" and "." only.`,
      { cause: error },
    );
  }
}

/** Where a creation has its path: behind the name and the data, or behind the one object that has both. */
function pathAt([first]: readonly unknown[]): number {
  return typeof first === "object" ? 1 : 2;
}

/** The version at which `openTable` is asked to open. */
function versionOf([, second, third]: Parameters<Connection["openTable"]>): number | undefined {
  const options = Array.isArray(second)
    ? third
    : (third ?? (second as Partial<OpenTableOptions> | undefined));
  return options?.version;
}

/** LanceDB's rule for root tables. In namespaces it takes any name. */
const LANCEDB_TAKES = /^(?!\.\.$)[A-Za-z0-9_.-]+$/;
