import { randomUUID } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CorruptError, IoError } from "../../errors.ts";
import { makeDirectory, removeTree } from "../../fs/directory-tree.ts";
import { createFileExclusively } from "../../fs/durable.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { nameFile } from "../../fs/name-file.ts";
import { giveSigns } from "../../fs/sign-of-life.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import type { Liveness } from "../../fs/this-process.ts";
import {
  ensurePrivateDirectory,
  makeStagingDirectory,
  moveToStaging,
  privateDirectory,
  removeStagingDirectory,
} from "../private-directory.ts";
import { isOwner, letGoOf, livenessOfOwner, type Owner } from "./lock-owner.ts";

/**
 * The lock of one table: a directory in which the holder is the highest epoch. An epoch's file appears
 * whole (written aside, then linked), so a reader never sees half an owner. `<epoch>.released` frees it;
 * so does emptying it, which a full disk allows. A power cut leaves an empty file too, and no holder.
 *
 * The directory comes into the world with its first epoch in it, free: all who want the table then contend for the
 * same next one, and one of them gets it. In an empty directory each would begin with an epoch of its own, a later one
 * above one that is held. A holder may take the whole directory away. The next one is born with an epoch above all
 * that were in it, so that a contender that has seen the old ones cannot come out above those who hold the new.
 */
const DIGITS = 15;
const HOLDER = /^(\d{15})\.json$/;

export type Attempt =
  | { readonly taken: true; readonly epoch: number; readonly fromDead: boolean }
  | { readonly taken: false; readonly holder: Owner; readonly known: boolean };

/** Who holds a lock. */
export interface Holding {
  readonly owner: Owner;
  readonly life: Liveness;
}

/** What renaming over a directory that is not empty answers with. */
const TAKEN = new Set(["ENOTEMPTY", "EEXIST", ...(process.platform === "win32" ? ["EPERM"] : [])]);

/** More epochs than can be used up in a millisecond. */
const EPOCHS_PER_MS = 100;

/** None is as high, by the clock of any year to come. */
const MOST_EPOCHS = 10 ** DIGITS - 1;

const holderName = (epoch: number) => `${String(epoch).padStart(DIGITS, "0")}.json`;
const releasedName = (epoch: number) => `${String(epoch).padStart(DIGITS, "0")}.released`;

export class TableLock {
  readonly #database: string;
  readonly #table: string;
  readonly #directory: string;
  readonly #room: string;
  /** Whether the table had none before. */
  readonly isNew: boolean;
  #stopSigns: () => void = () => undefined;

  constructor(database: string, table: string, room = ensurePrivateDirectory(database, "locks")) {
    this.#database = database;
    this.#table = table;
    this.#room = room;
    this.#directory = join(room, table);
    this.isNew = !existsSync(this.#directory);
  }

  /** For who only looks: nothing is made. */
  static toLookAt(database: string, table: string): TableLock {
    return new TableLock(database, table, privateDirectory(database, "locks"));
  }

  /** Who has the lock; the epoch is another one when anybody has taken it since. */
  async look(): Promise<{ readonly epoch: number; readonly holder?: Holding | undefined }> {
    const epoch = this.#highest() ?? 0;
    const holder = epoch === 0 ? "released" : await this.#holderOf(epoch);
    if (holder === undefined) return this.look(); // it was removed while we looked
    return { epoch, holder: holder === "released" ? undefined : holder };
  }

  /**
   * Takes the lock, or tells who has it. `force` takes it from an owner whose life cannot be known.
   * Having made its epoch, a contender looks again and withdraws before a higher one: a slow one may have
   * made an epoch that was used and removed meanwhile.
   */
  async attempt(owner: Owner, force: boolean): Promise<Attempt | undefined> {
    const highest = this.#highest() || this.#begin();
    if (highest === 0) return undefined; // it has just been taken away again
    if (highest >= MOST_EPOCHS) throw this.#damaged(this.#file(highest));
    const held = await this.#holderOf(highest);
    if (!held) return undefined;
    const fromDead = held !== "released";
    if (fromDead && (held.life === "alive" || (held.life === "unknown" && !force))) {
      return { taken: false, holder: held.owner, known: held.life === "alive" };
    }
    const epoch = highest + 1;
    if (!(await this.#create(epoch, owner))) return undefined;
    if (!this.#isHighest(epoch, owner)) return undefined;
    this.#removeBelow(epoch);
    this.#stopSigns = giveSigns(this.#file(epoch), JSON.stringify(owner));
    return { taken: true, epoch, fromDead };
  }

  /**
   * Frees the table. Never throws; the error, where others find it held until this has been tried again with success.
   * This process knows at once that it is free.
   */
  release(epoch: number, owner: Owner): unknown {
    this.#stopSigns();
    const error = this.#takeOff(epoch, owner);
    if (error !== undefined)
      letGoOf(owner, this.#hold(epoch), () => this.#takeOff(epoch, owner) === undefined);
    return error;
  }

  /** Whether an epoch that was taken is still the one that counts. */
  isHeld(epoch: number): boolean {
    const names = this.#list() ?? [];
    return highestOf(names) === epoch && !names.includes(releasedName(epoch));
  }

  #takeOff(epoch: number, owner: Owner): unknown {
    try {
      if (!existsSync(this.#room)) throw this.#away();
      // By the name alone another database, that has come in this one's place, would be taken for it.
      if (!this.#isOf(epoch, owner)) {
        if (!existsSync(this.#room)) throw this.#away();
        if (!this.#isOf(epoch, owner)) return undefined;
      }
      nameFile(this.#file(epoch), this.#released(epoch));
    } catch (error) {
      if (isMissing(error)) {
        const isTakenAway = existsSync(this.#room) && !existsSync(this.#file(epoch));
        return isTakenAway ? undefined : this.#away();
      }
      if (!(error instanceof IoError) && this.#empty(epoch)) return undefined;
      return toIoError(error, "release the lock", this.#directory);
    }
    return undefined;
  }

  #isOf(epoch: number, owner: Owner): boolean {
    const found = this.#read(epoch);
    return found !== undefined && found !== "released" && found.operation === owner.operation;
  }

  #empty(epoch: number): boolean {
    try {
      truncateSync(this.#file(epoch));
      return true;
    } catch {
      return false; // the first error tells why
    }
  }

  #away(): IoError {
    const path = this.#directory;
    return new IoError(`Could not release the lock ${path}: its database is away (ENOENT).`, {
      path,
      errno: "ENOENT",
    });
  }

  #hold(epoch: number): string {
    return `lock of ${this.#table}, ${epoch}`;
  }

  /**
   * Takes the directory away, and with it the lock, which must be held. A contender that has made its epoch in
   * it meanwhile finds that gone at its second look.
   */
  async retire(): Promise<void> {
    let removed: string;
    try {
      removed = moveToStaging(this.#directory, this.#database);
    } catch (error) {
      throw toIoError(error, "remove", this.#directory);
    }
    await removeTree(removed);
  }

  /** Puts the directory in its place, with a first epoch that nobody holds. Answers with the highest there is then. */
  #begin(): number {
    const staged = makeStagingDirectory(this.#database, "lock");
    try {
      const first = join(staged, holderName(Date.now() * EPOCHS_PER_MS));
      writeFileSync(first, "");
      takeOwner(first);
      this.#putInPlace(staged);
    } catch (error) {
      removeStagingDirectory(staged);
      if (!TAKEN.has(errnoOf(error) ?? "")) throw toIoError(error, "make directory", this.#directory);
    }
    return this.#highest() ?? 0;
  }

  /** Over an empty directory too; strays in it, or what is left of epochs that somebody has removed, move aside. */
  #putInPlace(staged: string): void {
    try {
      renameSync(staged, this.#directory);
    } catch (error) {
      if (!TAKEN.has(errnoOf(error) ?? "") || this.#highest() !== 0) throw error;
      this.#moveAside(this.#list() ?? []);
      renameSync(staged, this.#directory); // fails where somebody has begun meanwhile: an epoch never moves
    }
  }

  #moveAside(names: readonly string[]): void {
    const aside = join(ensurePrivateDirectory(this.#database, "aside"), "strays", randomUUID());
    makeDirectory(aside);
    for (const name of names) {
      if (HOLDER.test(name)) continue;
      try {
        renameSync(join(this.#directory, name), join(aside, name));
      } catch (error) {
        if (!isMissing(error)) throw error; // somebody else moves them
      }
    }
  }

  /** Whether a directory that is made from now on begins above this epoch. */
  isPast(epoch: number): boolean {
    return Date.now() * EPOCHS_PER_MS > epoch;
  }

  /** False where somebody was quicker, or the directory has gone. */
  async #create(epoch: number, owner: Owner): Promise<boolean> {
    try {
      return await createFileExclusively(this.#file(epoch), JSON.stringify(owner));
    } catch (error) {
      if (error instanceof IoError && error.errno === "ENOENT") return false;
      throw error;
    }
  }

  #file(epoch: number): string {
    return join(this.#directory, holderName(epoch));
  }

  #released(epoch: number): string {
    return join(this.#directory, releasedName(epoch));
  }

  /** Undefined where the directory has been taken away. */
  #list(): string[] | undefined {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw toIoError(error, "list", this.#directory);
    }
  }

  #highest(): number | undefined {
    const names = this.#list();
    return names && highestOf(names);
  }

  #isReleased(epoch: number): boolean {
    return (this.#list() ?? []).some((name) => name === releasedName(epoch));
  }

  /** Undefined where it was removed while we looked. */
  async #holderOf(epoch: number): Promise<Holding | "released" | undefined> {
    if (this.#isReleased(epoch)) return "released";
    const owner = this.#read(epoch);
    if (owner === undefined || owner === "released") return owner;
    return { owner, life: await livenessOfOwner(owner, this.#hold(epoch), this.#file(epoch)) };
  }

  /** Undefined where it was removed while we looked. */
  #read(epoch: number): Owner | "released" | undefined {
    const path = this.#file(epoch);
    try {
      const text = readFileSync(path, "utf8");
      if (/^\0*$/.test(text)) return "released";
      const owner: unknown = JSON.parse(text);
      if (isOwner(owner)) return owner;
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (errnoOf(error) !== undefined) throw toIoError(error, "read", path);
    }
    throw this.#damaged(path);
  }

  #damaged(path: string): CorruptError {
    return new CorruptError(
      `The lock ${path} was changed by hand or is damaged. Remove it if nothing holds the table.`,
      { path },
    );
  }

  /** The second look; whatever it finds, an epoch that is not to be used does not stay held. */
  #isHighest(epoch: number, owner: Owner): boolean {
    let highest: number | undefined;
    try {
      highest = this.#highest();
    } catch (error) {
      this.release(epoch, owner);
      throw error;
    }
    if (highest === undefined) {
      this.release(epoch, owner); // the directory may be away with the database, and come back with our epoch in it
      return false;
    }
    if (highest > epoch) removeQuietly(this.#file(epoch));
    return highest === epoch;
  }

  #removeBelow(epoch: number): void {
    for (const name of this.#list() ?? []) {
      const other = Number(/^(\d{15})\.(json|released)$/.exec(name)?.[1] ?? epoch);
      if (other < epoch) removeQuietly(join(this.#directory, name));
    }
  }
}

function highestOf(names: readonly string[]): number {
  return Math.max(0, ...names.map((name) => Number(HOLDER.exec(name)?.[1] ?? 0)));
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    return; // below the highest epoch it means nothing; the next holder removes it
  }
}
