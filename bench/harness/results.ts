import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resultsFile } from "../data/paths.ts";
import type { Part } from "./page.ts";

/** A part as it was measured last: when, and of which commit. */
export interface MeasuredPart extends Part {
  readonly date: string;
  readonly commit: string | null;
}

/**
 * Remembers the parts that were measured, with those of earlier runs, in the order given. Undefined where one was never
 * measured. A part can so be measured again without the hour that all take.
 */
export function keepParts(
  done: readonly MeasuredPart[],
  order: readonly string[],
): readonly MeasuredPart[] | undefined {
  const known = new Map(readParts().map((part) => [part.name, part]));
  for (const part of done) known.set(part.name, part);
  const all = order.flatMap((name) => known.get(name) ?? []);
  writeFileSync(resultsFile, `${JSON.stringify({ parts: all }, undefined, 2)}\n`);
  return all.length === order.length ? all : undefined;
}

function readParts(): readonly MeasuredPart[] {
  if (!existsSync(resultsFile)) return [];
  const { parts = [] } = JSON.parse(readFileSync(resultsFile, "utf8")) as { parts?: MeasuredPart[] };
  return parts;
}
