import { expect } from "vitest";
import {
  type PartContent,
  piecesOfEntry,
  type StoredContent,
  type StoredEntry,
} from "../../../src/engine/snapshot.ts";
import { contentView } from "../../../src/sources/lancedb/snapshot-view.ts";

const MIB = 1 << 20;
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown) => typeof value === "string";
const total = (list: readonly object[], key: string) =>
  list.reduce((sum, entry) => sum + (Reflect.get(entry, key) as number), 0);

/** The rules of docs/formats.md for a document that was accepted, once more and in other words. */
export function assertSound(content: StoredContent, id: string): void {
  const { snapshot, parts } = content;
  expect(snapshot.id).toBe(id);
  expect(snapshot.createdAt.toISOString()).toMatch(/Z$/);
  expect([snapshot.name ?? "", snapshot.description ?? "", ...snapshot.tags].every(isText)).toBe(true);
  for (const key of ["files", "bytes", "newFiles", "newBytes", "storedBytes", "durationMs"] as const) {
    expect([key, isCount(snapshot[key])]).toEqual([key, true]);
  }
  expect(parts.length).toBeGreaterThan(0);
  expect(parts.map(({ source }) => source)).toEqual(snapshot.parts.map(({ source }) => source));
  expect(new Set(parts.map(({ source: { type, id: of } }) => `${type}\n${of}`)).size).toBe(parts.length);
  for (const key of ["files", "bytes"] as const) expect(total(snapshot.parts, key)).toBe(snapshot[key]);
  const sizes = new Map<string, number>();
  const isOneSize = (name: string, bytes: number) => {
    expect(sizes.get(name) ?? bytes).toBe(bytes);
    sizes.set(name, bytes);
  };
  for (const part of parts) {
    const { type, id: of, uri, host } = part.source;
    expect([type, of, uri, host].every(isText) && type !== "" && of !== "").toBe(true);
    expect(part.entries.length).toBe(part.files);
    expect(total(part.entries, "size")).toBe(part.bytes);
    for (const [name, bytes] of part.blobs) {
      expect(name).toMatch(/^[0-9a-f]{64}$/);
      expect(isCount(bytes) && bytes <= 16 * MIB).toBe(true);
      isOneSize(name, bytes);
    }
    for (const entry of part.entries) {
      assertEntry(entry, part.blobs);
      if (!entry.pieces) isOneSize(entry.sha256, entry.size);
    }
    assertApart(part.entries);
  }
  assertLance(content);
}

function assertEntry(entry: StoredEntry, blobs: ReadonlyMap<string, number>): void {
  const { path, sha256, size, stamp, attributes } = entry;
  expect(path.split("/").some((name) => name === "" || name === "." || name === "..")).toBe(false);
  expect(path).not.toMatch(/[\\\0]|^[A-Za-z]:/);
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(4096);
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(isCount(size)).toBe(true);
  expect(stamp === undefined || isText(stamp)).toBe(true);
  expect(total(piecesOfEntry(entry), "bytes")).toBe(size);
  for (const { blob, offset, bytes } of entry.pieces ?? []) {
    expect(isCount(offset) && isCount(bytes) && bytes > 0).toBe(true);
    expect(offset + bytes).toBeLessThanOrEqual(blobs.get(blob) ?? -1);
  }
  if (!attributes) return;
  const { mode = 0, mtimeMs = 0, link = "", directory = true, ...others } = attributes;
  expect([isCount(mode) && mode <= 0o7777, Number.isFinite(mtimeMs), isText(link), directory]).toEqual([
    ...[true, true, true, true],
  ]);
  expect(others).toEqual({});
  if (attributes.directory) expect(size).toBe(0);
}

/** By every pair of a name and the directory that it stands in. */
function assertApart(entries: readonly StoredEntry[]): void {
  const spelling = new Map<string, string>();
  const paths = new Set<string>();
  for (const { path } of entries) {
    const folded = path.normalize("NFC").toLowerCase();
    expect(paths.has(folded)).toBe(false);
    paths.add(folded);
    const names = path.split("/");
    for (let depth = 1; depth <= names.length; depth++) {
      const folder = names.slice(0, depth).join("/");
      const key = folder.normalize("NFC").toLowerCase();
      expect(spelling.get(key) ?? folder).toBe(folder);
      spelling.set(key, folder);
    }
  }
  const files = new Set(entries.filter(({ attributes }) => !attributes?.directory).map(({ path }) => path));
  for (const { path } of entries) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      expect(files.has(path.slice(0, end))).toBe(false);
    }
  }
}

function assertLance(content: StoredContent): void {
  for (const part of content.parts) if (part.source.type === "lancedb") assertLancePart(content, part);
}

function assertLancePart(content: StoredContent, part: PartContent): void {
  const { snapshot, files } = contentView(content, ({ id }) => id === part.source.id);
  for (const { stamp, attributes } of part.entries) {
    expect(attributes).toBeUndefined();
    expect(stamp).toMatch(/^\d+:-?\d/);
  }
  expect([...files.keys()]).toEqual(snapshot.tables.map(({ directory }) => directory));
  expect(total(snapshot.tables, "rows")).toBe(snapshot.rows);
  for (const table of snapshot.tables) {
    const list = files.get(table.directory) ?? [];
    expect(table.directory).toMatch(/^[^/\\\0]+$/);
    expect([".", ".."]).not.toContain(table.directory);
    expect(list.length).toBe(table.files);
    expect(total(list, "size")).toBe(table.bytes);
    for (const { inode, mtimeMs } of list)
      expect([isCount(inode), Number.isFinite(mtimeMs)]).toEqual([true, true]);
    expect(table.versions.at(-1)?.version).toBe(table.version);
  }
}
