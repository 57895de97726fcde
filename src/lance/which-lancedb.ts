import type { Connection, ConnectionOptions } from "@lancedb/lancedb";
import { LanceError, UnsupportedError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";

/** What we use of LanceDB's module, as the version that this package is built with has it. */
export type LanceDBApi = typeof import("@lancedb/lancedb");

/**
 * LanceDB as the application has it: `import * as lancedb from "@lancedb/lancedb"`. Of any version that this package
 * goes with, and of any copy: so its members are told by name alone.
 */
export interface LanceDBModule {
  readonly connect: (...args: never[]) => Promise<object>;
  readonly Index: object;
  readonly makeArrowTable: (...args: never[]) => object;
  readonly embedding: object;
}

export interface LanceDBOptions {
  /**
   * The application's LanceDB: `import * as lancedb from "@lancedb/lancedb"`. Default: the one that this package finds
   * beside it. Give it where the application may have another copy: a table that a newer one makes, an older one
   * cannot read.
   */
  readonly lancedb?: LanceDBModule | undefined;
  /**
   * What the application gives LanceDB's `connect`: session, `readConsistencyInterval`, `storageOptions`. Connections
   * to the database are opened with it. Default: nothing.
   */
  readonly connection?: Partial<ConnectionOptions> | undefined;
}

/** Which LanceDB is at work, and how it connects. Handed down; there is no other one behind it. */
export class LanceDB {
  readonly #given: LanceDBModule | undefined;
  readonly #connection: Partial<ConnectionOptions>;

  /** @throws TypeError where an option is of another kind. Loads nothing. */
  constructor({ lancedb, connection = {} }: LanceDBOptions = {}) {
    if (lancedb !== undefined && !isModule(lancedb)) {
      throw new TypeError('lancedb must be LanceDB\'s module: import * as lancedb from "@lancedb/lancedb".');
    }
    if (typeof connection !== "object" || connection === null || Array.isArray(connection)) {
      throw new TypeError("connection must be an object of LanceDB's connection options.");
    }
    this.#given = lancedb;
    this.#connection = connection;
  }

  /** The module; our own is loaded when it is first asked for. @throws LanceError where there is none. */
  async api(): Promise<LanceDBApi> {
    return (this.#given as LanceDBApi | undefined) ?? (await loadOwn());
  }

  /**
   * Holds that rows can be handed over as Arrow tables. Of one that another copy of apache-arrow has made, LanceDB 0.19
   * stores no row, and says that it did.
   *
   * @throws UnsupportedError where the LanceDB that was given has another copy of apache-arrow than we have.
   */
  async assertOneArrow(): Promise<void> {
    if (this.#given === undefined) return;
    const { makeArrowTable } = await this.api();
    const { arrow } = await import("../arrow/arrow.ts"); // who only lists snapshots does without
    if (makeArrowTable([{ id: 1 }]).constructor === arrow.Table) return;
    throw new UnsupportedError(
      "The LanceDB that was given has another copy of apache-arrow than lancedb-backup, and rows that one passes to the other may be lost. Use one copy in the project: npm ls apache-arrow shows them, and npm dedupe, or the same version everywhere, leaves one.",
    );
  }

  /** Connects to the application's database, as the application does. */
  async connect(path: string): Promise<Connection> {
    const { connect } = await this.api();
    // LanceDB writes into the options that it is given.
    const { storageOptions } = this.#connection;
    return connect(path, {
      ...this.#connection,
      ...(storageOptions && { storageOptions: { ...storageOptions } }),
    });
  }

  /** Connects to a directory of our own: caches and settings of the application's have no part in it. */
  async connectAside(path: string): Promise<Connection> {
    const { connect } = await this.api();
    return connect(path);
  }
}

function isModule(value: unknown): value is LanceDBModule {
  if (typeof value !== "object" || value === null) return false;
  const { connect, Index, makeArrowTable } = value as Partial<Record<keyof LanceDBModule, unknown>>;
  return [connect, Index, makeArrowTable].every((member) => typeof member === "function");
}

async function loadOwn(): Promise<LanceDBApi> {
  try {
    return await import("@lancedb/lancedb");
  } catch (error) {
    throw new LanceError(
      `LanceDB cannot be loaded: ${reasonOf(error)}. Install it beside lancedb-backup (npm install @lancedb/lancedb apache-arrow), or give the application's with the option lancedb.`,
      { cause: error },
    );
  }
}
