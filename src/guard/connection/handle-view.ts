import { statSync } from "node:fs";
import { join } from "node:path";
import type { Table } from "@lancedb/lancedb";
import { ValidationError } from "../../errors.ts";
import { droppedVersion } from "../../lance/dropped-versions.ts";
import { manifestName, VERSIONS } from "../../lance/manifest.ts";
import type { OpenWork } from "./open-work.ts";

/** A version, and what tells its manifest from one of the same number that is made later. */
interface OpenedOn {
  readonly version: number;
  readonly manifest: string;
}

/**
 * What a handle of guarded work sees. It is opened before its table is locked, and others may commit until
 * the lock is there: LanceDB then refuses many a write as a commit conflict. So the handle is brought to the
 * newest version once, before its first write under the lock. From then on it is as any handle of LanceDB: it
 * sees its own writes. A handle that only reads stays where it is, and so does one that was checked out.
 */
export class HandleView {
  readonly #operation: OpenWork;
  readonly #id: string;
  readonly #table: Table;
  /** The manifest it was opened on; undefined where the table was locked already, or is made by the work. */
  readonly #openedOn: OpenedOn | undefined;
  #isCheckedOut = false;
  #refreshed: Promise<void> | undefined;

  private constructor(operation: OpenWork, id: string, table: Table, openedOn: OpenedOn | undefined) {
    this.#operation = operation;
    this.#id = id;
    this.#table = table;
    this.#openedOn = openedOn;
  }

  /**
   * Opens a handle, and remembers what it was opened on.
   *
   * @param isPinned it is opened on a version of its own choice, as by a `checkout`
   */
  static async open(
    operation: OpenWork,
    id: string,
    open: () => Promise<Table>,
    isPinned = false,
  ): Promise<HandleView> {
    const locked = operation.captured(id) !== undefined;
    const table = await open();
    const on = locked ? undefined : await openedOn(operation, id, table);
    const view = new HandleView(operation, id, table, on);
    view.#isCheckedOut = isPinned;
    return view;
  }

  /** For a table that guarded work has just made. */
  static fresh(operation: OpenWork, id: string, table: Table): HandleView {
    return new HandleView(operation, id, table, undefined);
  }

  get table(): Table {
    return this.#table;
  }

  /** Called before each write, with the table locked and captured. */
  async refresh(): Promise<void> {
    if (this.#openedOn === undefined || this.#isCheckedOut) return;
    this.#refreshed ??= this.#toNewest(this.#openedOn);
    await this.#refreshed;
  }

  async checkout(version: number | string): Promise<void> {
    const before = this.#isCheckedOut;
    this.#isCheckedOut = true;
    try {
      await this.#table.checkout(version);
    } catch (error) {
      this.#isCheckedOut = before;
      throw error;
    }
  }

  async checkoutLatest(): Promise<void> {
    await this.#table.checkoutLatest();
    this.#isCheckedOut = false;
  }

  async restore(): Promise<void> {
    await this.#table.restore();
    this.#isCheckedOut = false;
  }

  /** A handle does not go backwards: on a table that was made anew its write would name files that are gone. */
  async #toNewest(opened: OpenedOn): Promise<void> {
    const head = await this.#operation.headOf(this.#id);
    const own = await this.#table.version();
    const now = await openedOn(this.#operation, this.#id, this.#table);
    const isOpened = own === opened.version;
    const differs = isOpened ? now.manifest !== opened.manifest : now.manifest === "";
    const wasDropped = () => own <= droppedVersion(this.#operation.database, this.#id);
    const isAnother = differs && (head === own ? isOpened : wasDropped());
    if (head < own || isAnother) {
      const what = head === 0 ? "dropped" : "dropped and made again";
      throw new ValidationError(
        `Table ${this.#id} was ${what} after this handle was opened. Nothing was written by it; open the table again.`,
      );
    }
    if (head > own) await this.#table.checkoutLatest();
  }
}

async function openedOn(operation: OpenWork, id: string, table: Table): Promise<OpenedOn> {
  const version = await table.version();
  const directory = await operation.directoryOf(id);
  for (const scheme of directory === undefined ? [] : (["v2", "v1"] as const)) {
    const path = join(operation.database, directory ?? "", VERSIONS, manifestName(version, scheme));
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat) return { version, manifest: `${stat.ino} ${stat.size} ${stat.mtimeMs}` };
  }
  return { version, manifest: "" };
}
