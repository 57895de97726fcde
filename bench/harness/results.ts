import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resultsFile } from "../data/paths.ts";
import type { Part } from "./page.ts";

/**
 * Remembers the parts that were measured, with those of earlier runs, in the order given. Undefined where one was never
 * measured. A part can so be measured again without the hour that all take.
 */
export function keepParts(done: readonly Part[], order: readonly string[]): readonly Part[] | undefined {
  const known = new Map(readParts().map((part) => [part.name, part]));
  for (const part of done) known.set(part.name, part);
  const all = order.flatMap((name) => known.get(name) ?? []);
  writeFileSync(resultsFile, `${JSON.stringify({ parts: all }, undefined, 2)}\n`);
  return all.length === order.length ? all : undefined;
}

function readParts(): readonly Part[] {
  if (!existsSync(resultsFile)) return [];
  const { parts = [] } = JSON.parse(readFileSync(resultsFile, "utf8")) as { parts?: Part[] };
  return parts;
}
