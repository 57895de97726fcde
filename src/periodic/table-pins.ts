import { createHash, randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listNames, makeDirectory } from "../fs/directory-tree.ts";
import { ifThere, isStampOf, stampOf } from "../fs/held-root.ts";
import { toIoError } from "../fs/io.ts";
import { PIN_ORDER, Placer } from "../fs/placer.ts";
import { isObject } from "../fs/record.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { isLeftBehind, PROCESS_TOKEN } from "../fs/this-process.ts";
import { type Capture, captureTable } from "../lance/capture.ts";
import { ImageReader, type VersionImage } from "../lance/image.ts";
import { listManifests } from "../lance/manifest.ts";
import { PRIVATE_DIRECTORY, privateDirectory } from "../lance/private-directory.ts";
import type { TablePosition } from "./file/backup-file.ts";

const DOCUMENT = ".pin.json";
const PARTIAL = ".partial";
const IDENTITY = "identity";
const PARTIAL_MS = 3_600_000;

/**
 * The tables' versions at the last file of one backup directory, kept alive by links inside the database:
 * no bytes of their own, and nothing that happens to the table can take them. Nothing here is synced: a pin
 * that a power cut takes or breaks is found out, and costs a full.
 */
export class PinStore {
  readonly #database: string;
  readonly #root: string;

  constructor(database: string, backupDir: string) {
    this.#database = database;
    const name = createHash("sha256").update(backupDir).digest("hex").slice(0, 16);
    this.#root = join(privateDirectory(database, "pins"), name);
  }

  /** Where all of this lies. */
  get directory(): string {
    return this.#root;
  }

  /** What was remembered with a file; undefined where nothing readable was, or by the database that this is a copy of. */
  read(file: string): PinDocument | undefined {
    const path = join(this.#root, `${file}${DOCUMENT}`);
    try {
      const text = ifThere(path, () => readFileSync(path, "utf8"));
      if (text === undefined || this.#readIdentity()?.isOwn === false) return undefined;
      return parsePinDocument(text);
    } catch (error) {
      throw toIoError(error, "read", path);
    }
  }

  write(file: string, document: PinDocument): void {
    const path = join(this.#root, `${file}${DOCUMENT}`);
    try {
      makeDirectory(this.#root, this.#database);
      writeFileSync(path, formatPinDocument(document));
      takeOwner(path);
    } catch (error) {
      throw toIoError(error, "write", path);
    }
  }

  /**
   * What the files in the backup directory call this database; undefined where none is known to be of it.
   * Pins that are lost leave it: it stays as long as their directory does. A copy of a database has none yet: the
   * files are the original's.
   */
  identity(): string | undefined {
    const known = this.#readIdentity();
    if (known !== undefined) return known.isOwn ? known.identity : undefined;
    const documents = listNames(this.#root).filter((name) => name.endsWith(DOCUMENT));
    return documents.map((name) => this.read(name.slice(0, -DOCUMENT.length))?.database).find(Boolean);
  }

  /** Remembers what the files call this database. What was remembered under another identity is forgotten. */
  setIdentity(identity: string): void {
    const path = join(this.#root, IDENTITY);
    try {
      makeDirectory(this.#root, this.#database);
      for (const name of listNames(this.#root)) if (name.endsWith(DOCUMENT)) rmSync(join(this.#root, name));
      writeFileSync(`${path}${PARTIAL}`, `${identity} ${stampOf(this.#root)}\n`);
      takeOwner(`${path}${PARTIAL}`);
      renameSync(`${path}${PARTIAL}`, path);
    } catch (error) {
      throw toIoError(error, "write", path);
    }
  }

  /** Not its own where all of this was made in another directory, and copied with its database. */
  #readIdentity(): { readonly identity: string; readonly isOwn: boolean } | undefined {
    const path = join(this.#root, IDENTITY);
    try {
      const text = ifThere(path, () => readFileSync(path, "utf8")) ?? "";
      const [, identity, stamp] = /^(\S+) (.+)$/m.exec(text) ?? [];
      if (identity === undefined) return undefined; // not there, or a power cut has emptied it
      return { identity, isOwn: isStampOf(stamp, this.#root) };
    } catch (error) {
      throw toIoError(error, "read", path);
    }
  }

  /** Where a pinned table lies, as a dataset of its own. */
  path(table: Pick<PinnedTable, "pin">): string {
    return join(this.#root, table.pin);
  }

  /** Takes a table's newest version; undefined where there is no table any more. */
  async take(dataset: string, directory: string, signal?: AbortSignal): Promise<Taken | undefined> {
    const partial = join(this.#root, `${PROCESS_TOKEN}.${randomUUID()}${PARTIAL}`);
    try {
      makeDirectory(partial, this.#database);
      const placer = new Placer(PIN_ORDER);
      let rows: number | undefined;
      const capture = await captureTable(dataset, {
        target: partial,
        placer,
        history: "latest",
        onVersion: (image) => {
          rows = image.rows;
        },
        signal,
      });
      if (capture === undefined) {
        rmSync(partial, { recursive: true, force: true });
        return undefined;
      }
      const position = positionOf(capture);
      const pin = `${directory}${suffixOf(position)}`;
      const target = join(this.#root, pin);
      if (await this.image({ pin, position })) rmSync(partial, { recursive: true });
      else {
        rmSync(target, { recursive: true, force: true }); // a power cut has broken it, or a death its removal
        renameSync(partial, target);
      }
      return { pin, capture, rows };
    } catch (error) {
      rmSync(partial, { recursive: true, force: true });
      throw toIoError(error, "link the files of", dataset);
    }
  }

  /** A pinned table's version as its manifest states it; undefined where the pin is damaged or gone. */
  async image(table: Pick<PinnedTable, "pin" | "position">): Promise<VersionImage | undefined> {
    const path = this.path(table);
    try {
      const manifests = await listManifests(path);
      const name = manifests.find((manifest) => manifest.version === table.position.version);
      if (name === undefined || manifests.length !== 1) return undefined;
      const image = await new ImageReader(path).read(name);
      const whole =
        image.digest === table.position.digest &&
        image.files.every((file) => file.index || existsSync(join(path, file.path)));
      return whole ? image : undefined;
    } catch {
      return undefined; // whatever is wrong with it, the answer is a full
    }
  }

  /** Removes what no file named here needs, and what dead processes left half made. */
  removeUnneeded(files: readonly string[]): void {
    const needed = new Set(
      files.flatMap((file) => (this.read(file)?.tables ?? []).map((table) => table.pin)),
    );
    for (const name of listNames(this.#root)) {
      if (name === IDENTITY || name === PRIVATE_DIRECTORY) continue;
      if (name.endsWith(DOCUMENT)) {
        if (files.includes(name.slice(0, -DOCUMENT.length))) continue;
      } else if (name.endsWith(PARTIAL)) {
        if (!isLeftBehind(name.split(".")[0] ?? "", join(this.#root, name), PARTIAL_MS)) continue;
      } else if (needed.has(name)) continue;
      rmSync(join(this.#root, name), { recursive: true, force: true });
    }
  }
}

interface Taken {
  readonly pin: string;
  readonly capture: Capture;
  /** Of the version that was taken; undefined where its manifest does not say. */
  readonly rows: number | undefined;
}

/** The directory in the database from which a table was pinned. */
export function directoryOf({ pin, position }: PinnedTable): string {
  return pin.slice(0, pin.length - suffixOf(position).length);
}

function suffixOf({ version, digest }: TablePosition): string {
  return `-${version}-${digest.slice(0, 16)}`;
}

export function positionOf(capture: Capture): TablePosition {
  return { version: capture.version, digest: capture.digest };
}

const FORMAT = 1;

/** A table as the newest periodic file holds it, and the links that keep that version alive. */
export interface PinnedTable {
  readonly id: string;
  /** Name of the directory with the links. */
  readonly pin: string;
  readonly position: TablePosition;
  /** Rows of that version; missing where its manifest does not say, and in older documents. */
  readonly rows?: number | undefined;
}

/** What a manager remembers of the last file that it wrote. */
export interface PinDocument {
  /** Identity of the chain's database. */
  readonly database: string;
  /** The option `tables` of then; another one makes another chain. */
  readonly selection: readonly string[] | null;
  readonly tables: readonly PinnedTable[];
}

function formatPinDocument(document: PinDocument): string {
  return `${JSON.stringify({ format: FORMAT, ...document })}\n`;
}

/** Undefined for anything that is not such a document: the pin then counts as lost. */
function parsePinDocument(text: string): PinDocument | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // half written: a pin that is lost costs a full, nothing else
  }
  if (!isObject(value) || value["format"] !== FORMAT) return undefined;
  const { database, selection, tables } = value;
  const texts = (list: unknown) => Array.isArray(list) && list.every((item) => typeof item === "string");
  const good =
    typeof database === "string" &&
    (selection === null || texts(selection)) &&
    Array.isArray(tables) &&
    tables.every(isPinnedTable);
  return good ? (value as unknown as PinDocument) : undefined;
}

function isPinnedTable(value: unknown): boolean {
  if (!isObject(value) || !isObject(value["position"])) return false;
  const { id, pin, position } = value;
  return (
    typeof id === "string" &&
    typeof pin === "string" &&
    /^[\w.$-]+$/.test(pin) &&
    !pin.startsWith(".") &&
    Number.isSafeInteger(position["version"]) &&
    typeof position["digest"] === "string"
  );
}
