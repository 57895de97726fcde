import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { CorruptError } from "../../errors.ts";
import { assertFormat, isObject } from "../../fs/record.ts";
import type {
  LeftOutTable,
  Snapshot,
  SnapshotContent,
  SnapshotDetails,
  SnapshotFile,
  SnapshotTable,
  SnapshotTableDetails,
  SnapshotVersion,
} from "../snapshot.ts";
import { assertPathsApart, assertTablePlace } from "./check-paths.ts";
import { Fields } from "./fields.ts";
import { isDigest } from "./names.ts";
import { shown } from "./shown.ts";

/** `"}` and a newline after the 64 digits of the checksum. */
const TRAILER_BYTES = 67;

/** What a listing needs, from the first line of a document. Nothing after it is looked at, and the checksum is not. */
export function decodeSummary(firstLine: string, id: string, place: string): Snapshot {
  return summaryFrom(
    parseJson(() => `${firstLine}}}`, place),
    id,
    place,
  );
}

/**
 * A whole document, every rule of docs/formats.md checked.
 *
 * @throws CorruptError naming the place where it is damaged, edited or breaks a rule.
 * @throws UnsupportedError for a format that this version does not know.
 */
export function decodeSnapshot(bytes: Uint8Array, id: string, place: string): SnapshotContent {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const checksum = checkedDigest(file, place);
  const document = parseJson(() => file.toString("utf8"), place);
  const summary = summaryFrom(document, id, place);
  const firstLine = file.subarray(0, Math.max(0, file.indexOf("\n"))).toString("utf8");
  if (!isDeepStrictEqual(decodeSummary(firstLine, id, place), summary)) {
    throw corrupt(place, "its first line says something else than the rest of it");
  }
  const content = document["content"];
  if (!isObject(content)) throw corrupt(place, "it has no content");
  const directories = summary.tables.map((table) => table.directory);
  // Sorted: a name of digits comes first in JavaScript, wherever it stands in the file.
  if (!isDeepStrictEqual(Object.keys(content).sort(), directories.toSorted())) {
    throw corrupt(place, "its content is not that of its tables");
  }
  const files = new Map<string, readonly SnapshotFile[]>();
  const tables: SnapshotTableDetails[] = [];
  for (const table of summary.tables) {
    const fields = new Fields(content[table.directory], place, table.directory);
    const list = fields.list("files").map((entry) => fileFrom(entry, place, table.directory));
    const versions = fields.list("versions").map((entry) => versionFrom(entry, place, table.directory));
    assertTable(table, versions, list, place);
    files.set(table.directory, list);
    tables.push({ ...table, versions });
  }
  assertSums(summary, place);
  const snapshot: SnapshotDetails = { ...summary, tables, checksum };
  return { snapshot, files };
}

function checkedDigest(file: Buffer, place: string): string {
  const digest = file.toString("latin1", file.length - TRAILER_BYTES, file.length - 3);
  if (!isDigest(digest) || file.toString("latin1", file.length - 3) !== '"}\n') {
    assertKnownFormat(file, place);
    throw corrupt(place, "it is cut short");
  }
  const body = file.subarray(0, file.length - TRAILER_BYTES);
  if (createHash("sha256").update(body).digest("hex") !== digest) {
    assertKnownFormat(file, place);
    throw corrupt(place, "it was changed by hand or is damaged, its checksum does not fit");
  }
  return digest;
}

/** A newer format may end in another way: that is the better message. */
function assertKnownFormat(file: Buffer, place: string): void {
  const format = /^\{"format":(\d{1,9})[,}]/.exec(file.toString("latin1", 0, 40))?.[1];
  if (format) assertFormat(Number(format), place);
}

function summaryFrom(document: Record<string, unknown>, id: string, place: string): Snapshot {
  assertFormat(document["format"], place);
  const fields = new Fields(document["summary"], place, "summary");
  if (fields.text("id") !== id) throw corrupt(place, `it calls itself ${shown(fields.text("id"))}`);
  const source = fields.object("source");
  const software = fields.object("software");
  const tables = fields.objects("tables").map(tableFrom);
  const directories = tables.map((table) => table.directory);
  for (const table of tables) assertTablePlace(table.id, table.directory, place);
  assertPathsApart(directories, place);
  return {
    id,
    name: fields.optionalText("name"),
    description: fields.optionalText("description"),
    tags: fields.texts("tags"),
    source: {
      type: source.oneOf("type", ["lancedb"]),
      id: idFrom(source, place),
      uri: source.text("uri"),
      host: source.text("host"),
    },
    selection: fields.optionalTexts("selection"),
    createdAt: fields.date("createdAt"),
    ...takenFrom(fields),
    durationMs: fields.number("durationMs"),
    history: fields.oneOf("history", ["all", "latest"]),
    files: fields.count("files"),
    bytes: fields.count("bytes"),
    newFiles: fields.count("newFiles"),
    newBytes: fields.count("newBytes"),
    rows: fields.count("rows"),
    tables,
    leftOut: fields.optionalObjects("leftOut")?.map(leftOutFrom),
    software: { lancedbBackup: software.text("lancedbBackup"), node: software.text("node") },
  };
}

function idFrom(source: Fields, place: string): string {
  const id = source.text("id");
  if (id !== "") return id;
  throw corrupt(place, "its source has no id");
}

/** A member only where there is one: what is read is what was written. */
function takenFrom(fields: Fields): Pick<Snapshot, "taken"> {
  return fields.optionalText("taken") === undefined
    ? {}
    : { taken: fields.oneOf("taken", ["locked", "read-only"]) };
}

function tableFrom(fields: Fields): SnapshotTable {
  return {
    id: fields.text("id"),
    directory: fields.text("directory"),
    version: fields.count("version"),
    digest: fields.digest("digest"),
    versionCount: fields.count("versionCount"),
    files: fields.count("files"),
    bytes: fields.count("bytes"),
    rows: fields.count("rows"),
    tags: fields.texts("tags"),
    leftOut: fields.texts("leftOut"),
  };
}

function leftOutFrom(fields: Fields): LeftOutTable {
  return {
    table: fields.text("table"),
    why: fields.oneOf("why", ["excluded", "unsupported"]),
    what: fields.text("what"),
  };
}

function fileFrom(entry: unknown, place: string, table: string): SnapshotFile {
  const [path, size, sha256, inode, mtimeMs] = Array.isArray(entry) ? (entry as unknown[]) : [];
  const ok =
    typeof path === "string" &&
    isCount(size) &&
    isDigest(sha256) &&
    isCount(inode) &&
    typeof mtimeMs === "number" &&
    Number.isFinite(mtimeMs);
  if (!ok) throw corrupt(place, `${table} lists something that is no file: ${shown(entry)}`);
  return { path, size, sha256, inode, mtimeMs };
}

function versionFrom(entry: unknown, place: string, table: string): SnapshotVersion {
  const [version, time, rows] = Array.isArray(entry) ? (entry as unknown[]) : [];
  const createdAt = typeof time === "number" ? new Date(time) : undefined;
  const knownTime = time === null || (createdAt !== undefined && !Number.isNaN(createdAt.getTime()));
  if (!isCount(version) || !isCount(rows) || !knownTime) {
    throw corrupt(place, `${table} lists something that is no version: ${shown(entry)}`);
  }
  return { version, createdAt, rows };
}

function assertTable(
  table: SnapshotTable,
  versions: readonly SnapshotVersion[],
  files: readonly SnapshotFile[],
  place: string,
): void {
  assertPathsApart(
    files.map((file) => file.path),
    `${place}, ${table.directory}`,
  );
  const ascending = versions.every(
    (entry, index) => index === 0 || entry.version > (versions[index - 1]?.version ?? 0),
  );
  const last = versions.at(-1);
  if (!ascending || last?.version !== table.version || last.rows !== table.rows) {
    throw corrupt(place, `the versions of ${table.directory} are not those of its summary`);
  }
  if (versions.length !== table.versionCount || files.length !== table.files) {
    throw corrupt(place, `the counts of ${table.directory} are not those of its summary`);
  }
  if (sum(files, "size") !== table.bytes) {
    throw corrupt(place, `the sizes of ${table.directory} are not those of its summary`);
  }
}

function assertSums(summary: Snapshot, place: string): void {
  for (const key of ["files", "bytes", "rows"] as const) {
    if (sum(summary.tables, key) !== summary[key])
      throw corrupt(place, `its ${key} are not those of its tables`);
  }
}

function sum<K extends string>(list: readonly Record<K, number>[], key: K): number {
  return list.reduce((total, entry) => total + entry[key], 0);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** @param text may throw, too: a string has its limits. */
function parseJson(text: () => string, place: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text());
    if (isObject(document)) return document;
  } catch (error) {
    throw corrupt(place, "it is not JSON", error);
  }
  throw corrupt(place, "it holds no document");
}

function corrupt(place: string, why: string, cause?: unknown): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: ${why}.`, { path: place, cause });
}
