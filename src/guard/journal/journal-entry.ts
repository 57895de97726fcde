import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { BackupError, CorruptError, IoError } from "../../errors.ts";
import { removeTree } from "../../fs/directory-tree.ts";
import { syncDirectories, syncDirectory, writeFileDurably } from "../../fs/durable.ts";
import { ifThere, isAway } from "../../fs/held-root.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { nameFile } from "../../fs/name-file.ts";
import { encodeRecord } from "../../fs/record.ts";
import { isStray } from "../../fs/safe-names.ts";
import { giveSigns } from "../../fs/sign-of-life.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { Liveness } from "../../fs/this-process.ts";
import {
  endOperation,
  letGoOf,
  livenessOfOwner,
  livenessOfOwnerAtOnce,
  type Owner,
} from "../../lance/lock/lock-owner.ts";
import { moveToStaging, privateDirectory } from "../../lance/private-directory.ts";
import { assertEntryRecord, claimsOf, type EntryRecord } from "./entry-record.ts";
import { IntentLog, type LoggedIntent, readIntentLog } from "./intent-log.ts";
import { type EntryOwner, readEntryOwner, readRecord } from "./journal-record.ts";

/**
 * `making`: not whole, nothing is restored from it. `armed`: a death means rollback. `held`: a backup
 * that waits for `restoreBackup` or `cleanupBackup`. `done`: finished, to be removed. `gone`: there is no such entry.
 */
export type EntryState = "making" | "armed" | "held" | "done" | "gone";

type NamedState = (typeof NAMED_STATES)[number];

/** An entry is not there any more, or in another state: somebody else has recovered it, or its directory is away. */
export class NotThereError extends IoError {
  constructor(id: string, options: ErrorOptions) {
    super(`The entry ${id} of the journal is not there any more, or was recovered by somebody else.`, {
      ...options,
      errno: "ENOENT",
    });
  }
}

const NAMED_STATES = ["done", "held", "armed"] as const;

/** One entry of the journal: a directory whose state is the name of the record in it. */
export class JournalEntry {
  readonly directory: string;
  readonly id: string;
  readonly log: IntentLog;
  /** The database that it lies in now. */
  readonly database: string;
  /** Set where this process made it. */
  #owner: Owner | undefined;
  #isRemoved = false;
  #stopSigns: () => void = () => undefined;

  constructor(database: string, id: string) {
    this.database = database;
    this.id = id;
    this.directory = join(privateDirectory(database, "journal"), id);
    this.log = new IntentLog(join(this.directory, "log"));
  }

  /** Whether this is a restore under way; its id tells. */
  get isRestore(): boolean {
    return this.id.startsWith("restore_");
  }

  /** Where lance-version keeps its links. */
  get pins(): string {
    return join(this.directory, "pins");
  }

  /** In one look: its record may be renamed meanwhile. */
  get state(): EntryState {
    try {
      const found = ifThere(this.directory, () => readdirSync(this.directory));
      if (found === undefined) return "gone";
      const names = new Set(found);
      return NAMED_STATES.find((state) => names.has(basename(this.#record(state)))) ?? "making";
    } catch (error) {
      if (isAway(error)) return "gone";
      throw toIoError(error, "list", this.directory);
    }
  }

  exists(): boolean {
    return this.state !== "gone";
  }

  /** The record of a named state. @throws CorruptError where it is damaged. */
  read(state: NamedState): EntryRecord | undefined {
    const path = this.#record(state);
    const body = readRecord(path);
    if (body === undefined) return undefined;
    const record = assertEntryRecord(body, path);
    if (state === "done") return record; // it may be removed in part already
    const marked = new Set(this.tableIds());
    const stranger = record.tables.find((table) => !marked.has(table.id));
    if (stranger) {
      throw new CorruptError(
        `${path} was changed by hand: table ${stranger.id} is not in ${this.#markers}.`,
        {
          path,
        },
      );
    }
    return record;
  }

  /** When the guarded work last gave a sign of life, milliseconds since 1970. */
  lastSign(): number {
    return statSync(join(this.directory, "log"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /** @throws CorruptError where it is damaged or gone. */
  readLog(): readonly LoggedIntent[] {
    return readIntentLog(join(this.directory, "log"));
  }

  /** The same for a backup that waits: made by hand it has none, and one whose entry is lost has none any more. */
  readLogIfAny(): readonly LoggedIntent[] {
    return existsSync(join(this.directory, "log")) ? this.readLog() : [];
  }

  /**
   * Writes the record under the state's name. When it returns, record and name are on the disk. The tables'
   * ids also stand as file names, so that a damaged record still tells which tables it holds back.
   *
   * @param before done while the record's content is synced, and finished before it gets its name.
   * @throws NotThereError where the entry has gone meanwhile: it is not made again.
   */
  async write(state: "armed" | "held", record: EntryRecord, before?: () => Promise<void>): Promise<void> {
    this.assertSame();
    const fresh = this.#mark(claimsOf(record));
    const names = fresh ? [this.#markers, join(this.directory, "..")] : [];
    await writeFileDurably(this.#record(state), encodeRecord(record), async () => {
      const settled = await Promise.allSettled([syncDirectories(names), before?.()]);
      for (const result of settled) if (result.status === "rejected") throw result.reason;
    });
    this.assertSame();
  }

  /** @throws NotThereError where the entry, as this process reserved it, is not there. */
  assertSame(): void {
    if (!this.isSame()) throw new NotThereError(this.id, {});
  }

  /** The ids of the tables that this entry has captured, also where its record is damaged. */
  tableIds(): string[] {
    try {
      return readdirSync(this.#markers).filter((name) => !isStray(name));
    } catch (error) {
      if (errnoOf(error) === "ENOTDIR" && this.exists())
        throw new CorruptError(`${this.#markers} is not a directory.`, { path: this.#markers, cause: error });
      if (isMissing(error)) return [];
      throw toIoError(error, "list", this.#markers);
    }
  }

  /** The same; where all file names are gone, which nobody takes away, what its record names. */
  claims(): string[] {
    const marked = this.tableIds();
    const path = this.#record("armed");
    const body = marked.length === 0 ? readRecord(path) : undefined;
    return body === undefined ? marked : claimsOf(assertEntryRecord(body, path));
  }

  get #markers(): string {
    return join(this.directory, "tables");
  }

  #mark(claims: readonly string[]): boolean {
    const known = new Set(this.tableIds());
    const fresh = claims.filter((claim) => !known.has(claim));
    try {
      mkdirSync(this.#markers);
      takeOwner(this.#markers);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw toIoError(error, "make directory", this.#markers);
    }
    try {
      for (const claim of fresh) nameFile(this.ownerFile, join(this.#markers, claim));
    } catch (error) {
      throw toIoError(error, "write", this.#markers);
    }
    return fresh.length > 0;
  }

  /**
   * The commit point: one rename, on the disk when it returns. Where it cannot be put there, it is taken
   * back: nobody may be told that what a power cut can undo has succeeded.
   *
   * @throws NotThereError where the entry is not in the state that it is to leave: nothing was done.
   */
  async become(from: NamedState, to: "done" | "held"): Promise<void> {
    const path = this.#record(from);
    try {
      renameSync(path, this.#record(to));
    } catch (error) {
      if (isMissing(error)) throw new NotThereError(this.id, { cause: error });
      throw toIoError(error, "rename", path);
    }
    try {
      await syncDirectory(this.directory);
    } catch (error) {
      // Its state says whether this worked.
      await rename(this.#record(to), path).catch(() => undefined);
      throw error;
    }
  }

  readOwner(): EntryOwner | undefined {
    return readEntryOwner(this.ownerFile);
  }

  /** `dead` where nobody owns the entry any more. */
  async liveness(): Promise<Liveness> {
    const found = this.readOwner();
    return found ? livenessOfOwner(found.owner, this.#hold, this.ownerFile) : "dead";
  }

  /** The same at once: where only watching could tell, `alive`. */
  livenessAtOnce(): Liveness {
    const found = this.readOwner();
    return found ? livenessOfOwnerAtOnce(found.owner, this.#hold, this.ownerFile) : "dead";
  }

  /**
   * Whether somebody has to put something right. `live`: not now, its owner is at it. `over`: never again.
   * Cheaper than its state and its owner's life in full, and at once: an owner of another container, whom only watching
   * could tell to be dead, counts as live; whoever touches its tables watches. What is only to be removed counts as over.
   */
  outlook(): "live" | "left" | "over" {
    try {
      const found = this.readOwner();
      if (found && this.livenessAtOnce() === "alive") return "live";
      const { state } = this;
      if (state === "armed") return "left";
      return found && state !== "held" && this.exists() ? "left" : "over";
    } catch (error) {
      if (error instanceof BackupError) return "left"; // what is wrong with it is told when it is recovered
      throw error;
    }
  }

  /** From now on it shows that its owner lives, until it is given up or taken away. */
  nowOwned(owner: Owner): void {
    this.#owner = owner;
    this.#stopSigns = giveSigns(this.ownerFile, JSON.stringify(owner));
  }

  /** Gives the entry up: whoever comes next may recover it. Never throws. */
  abandon(): void {
    this.log.close();
    this.#stopSigns();
    const owner = this.#owner;
    if (this.#isRemoved || this.#giveUp() || !owner) return;
    letGoOf(owner, this.#hold, () => this.#giveUp()); // this process may recover it; others find it held
  }

  #giveUp(): boolean {
    if (!this.#owner || !this.#alonePointsToCopy()) return this.#takeOwnerOff();
    endOperation(this.#owner); // others come to it when this process ends
    return true;
  }

  /** Whether the owner's file alone says where half a copy lies, which is to be removed: its disk is away. */
  #alonePointsToCopy(): boolean {
    try {
      return this.state === "making" && this.readOwner()?.backupPath !== undefined;
    } catch {
      return false; // it says nothing, then
    }
  }

  /** False where that was refused, or the entry is not there: it may come back with its directory. */
  #takeOwnerOff(): boolean {
    try {
      if (this.#owner && !this.exists()) return false;
      if (this.#owner && this.readOwner() && !this.isSame()) return true; // another's by now
      rmSync(this.ownerFile, { force: true });
      return true;
    } catch {
      return false; // it is tried again
    }
  }

  /** Whether the entry that this process reserved is there, and nobody has given it up. */
  isSame(): boolean {
    try {
      return this.#owner !== undefined && this.readOwner()?.owner.operation === this.#owner.operation;
    } catch (error) {
      if (isAway(error)) return false;
      throw error;
    }
  }

  /** Takes the entry away in one step: nobody may read half of it as an entry that was never finished. */
  async remove(): Promise<void> {
    this.log.close();
    this.#stopSigns();
    let removed: string;
    try {
      removed = moveToStaging(this.directory, this.database);
      this.#isRemoved = true;
    } catch (error) {
      if (isMissing(error)) return;
      if (errnoOf(error) !== "EXDEV") throw toIoError(error, "remove", this.directory);
      removed = this.directory; // of a file system's lower layer, which cannot be renamed
      this.#isRemoved = true;
    }
    await removeTree(removed);
  }

  get #hold(): string {
    return `entry ${this.id}`;
  }

  get ownerFile(): string {
    return join(this.directory, "owner.json");
  }

  #record(state: NamedState): string {
    return join(this.directory, `${state}.json`);
  }
}
