import { mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { RestoreTarget, SnapshotDetails } from "../repository/index.ts";

type Part = SnapshotDetails["parts"][number];

/** These go into a server, whose address the page does not ask for. */
const OF_SERVERS = new Set(["postgresql", "mysql"]);

/** Which parts of a snapshot go into a directory, and which do not. */
export function restorableParts(all: readonly Part[]): { readonly parts: Part[]; readonly left: Part[] } {
  const { parts = [], left = [] } = Object.groupBy(all, ({ source }) =>
    OF_SERVERS.has(source.type) ? "left" : "parts",
  );
  return { parts, left };
}

/** Where each part goes: of several, into a place of its own below the directory. */
export function placesOf(parts: readonly Part[], directory: string): RestoreTarget[] {
  const [only, ...others] = parts;
  if (only && others.length === 0) return [{ part: only.source.id, target: directory }];
  const taken = new Map<string, number>();
  return parts.map(({ source: { id, type } }) => {
    const count = (taken.get(type) ?? 0) + 1;
    taken.set(type, count);
    return { part: id, target: join(directory, count === 1 ? type : `${type}-${count}`) };
  });
}

/** How a part is named in words. */
export function nameOfSource({ source: { type, uri } }: Part): string {
  return `${type} ${uri}`;
}

/** Makes a directory for what is done; where that fails, and nothing is in it, it goes again. */
export async function inDirectory<T>(directory: string | undefined, work: () => Promise<T>): Promise<T> {
  if (directory === undefined) return work();
  await mkdir(directory, { recursive: true });
  try {
    return await work();
  } catch (error) {
    if ((await readdir(directory)).length === 0) await rmdir(directory);
    throw error;
  }
}
