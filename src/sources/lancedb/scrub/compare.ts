import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { OnProgress } from "../../../engine/progress.ts";
import { runTasks } from "../../../fs/workers/pool.ts";
import { TAGS } from "../../../lance/capture.ts";
import { VERSIONS } from "../../../lance/manifest.ts";
import { hasUniqueName } from "../../../lance/table-directory.ts";
import type { SnapshotFile } from "../snapshot-view.ts";
import { wasNotWritten } from "./judge-manifest.ts";
import type { LiveTable, TablePlace } from "./live-table.ts";
import type { Damage } from "./scrub-report.ts";

/** A live file that is not what it was. */
export interface Finding {
  readonly place: TablePlace;
  readonly live: LiveTable;
  readonly path: string;
  readonly known: SnapshotFile | undefined;
  readonly problem: Damage["problem"];
  /** Why the snapshot's file must not take its place. */
  readonly refused: string | undefined;
}

export interface Comparison {
  readonly files: number;
  readonly bytes: number;
  readonly newFiles: number;
  readonly findings: readonly Finding[];
}

interface Candidate extends Omit<Finding, "problem"> {
  readonly known: SnapshotFile;
}

/** Compares what live tables need with what a snapshot has under the same names. Changes nothing. */
export async function compareTables(
  tables: readonly { readonly place: TablePlace; readonly live: LiveTable }[],
  options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined },
): Promise<Comparison> {
  const findings: Finding[] = [];
  const candidates: Candidate[] = [];
  let newFiles = 0;
  let [files, bytes] = [0, 0];
  for (const { place, live } of tables) {
    for (const manifest of live.damagedManifests) {
      const { size } = statSync(join(place.dataset, manifest.path), { throwIfNoEntry: false }) ?? {};
      if (size === undefined) continue;
      findings.push({
        place,
        live,
        ...manifest,
        problem: size === manifest.known?.size ? "content" : "size",
      });
    }
    for (const { path, from } of live.versions) {
      const known = from === "live" ? place.known.get(path) : undefined;
      if (known) [files, bytes] = [files + 1, bytes + known.size];
      else if (from === "live") newFiles++;
    }
    for (const path of live.needed.keys()) {
      const known = place.known.get(path);
      if (!known) newFiles++;
      const found = lookAt(place, live, path);
      if (found && "problem" in found) findings.push(found);
      else if (found) candidates.push(found);
    }
    const others = lookAtOthers(place, live);
    for (const finding of others.findings) findings.push(finding);
    for (const candidate of others.candidates) candidates.push(candidate);
  }
  const differing = await hashLive(candidates, options);
  const hashed = candidates.reduce((sum, { known }) => sum + known.size, 0);
  for (const candidate of differing) findings.push({ ...candidate, problem: "content" });
  return { files: files + candidates.length, bytes: bytes + hashed, newFiles, findings };
}

/** What is wrong with a needed file, or that its content is to be compared; undefined where it is new. */
function lookAt(place: TablePlace, live: LiveTable, path: string): Finding | Candidate | undefined {
  const known = place.known.get(path);
  const told = live.needed.get(path);
  const size = statSync(join(place.dataset, path), { throwIfNoEntry: false })?.size;
  if (!known) {
    const problem = size === undefined ? "missing" : told !== undefined && told !== size ? "size" : undefined;
    const refused = "the snapshot does not have this file";
    return problem && { place, live, path, known, problem, refused };
  }
  const refused = refusal(place, known, told);
  if (size === undefined) return { place, live, path, known, problem: "missing", refused };
  if (size !== known.size) return { place, live, path, known, problem: "size", refused };
  return { place, live, path, known, refused };
}

function refusal({ dataset }: TablePlace, known: SnapshotFile, told: number | undefined): string | undefined {
  if (told !== undefined && told !== known.size) {
    return `the table's manifest says that it has ${told} bytes, and the snapshot's file has ${known.size}`;
  }
  if (hasUniqueName(known.path) || wasNotWritten(dataset, known)) return undefined;
  return "it was written since the snapshot, so the snapshot's file may differ";
}

/** Files that no manifest names. Tags are written anew when they move: only what was not written since can be compared. */
function lookAtOthers(place: TablePlace, live: LiveTable): { findings: Finding[]; candidates: Candidate[] } {
  const [findings, candidates]: [Finding[], Candidate[]] = [[], []];
  for (const [path, known] of place.known) {
    if (live.needed.has(path) || path.startsWith(`${VERSIONS}/`) || hasUniqueName(path)) {
      continue;
    }
    const refused = "it was written since the snapshot, so its right content is not known";
    if (wasNotWritten(place.dataset, known)) {
      const found = { place, live, path, known, refused: undefined };
      const size = statSync(join(place.dataset, path), { throwIfNoEntry: false })?.size;
      if (size === known.size) candidates.push(found);
      else findings.push({ ...found, problem: "size" });
    } else if (path.startsWith(`${TAGS}/`) && isBrokenTag(join(place.dataset, path))) {
      findings.push({ place, live, path, known, problem: "content", refused });
    }
  }
  return { findings, candidates };
}

function isBrokenTag(path: string): boolean {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return false;
  try {
    JSON.parse(readFileSync(path, "utf8"));
    return false;
  } catch {
    return true;
  }
}

/** Those whose bytes are not the snapshot's. One that vanishes or cannot be read is looked at again by who asked. */
async function hashLive(
  candidates: readonly Candidate[],
  { signal, onProgress }: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined },
): Promise<Candidate[]> {
  const inputs = candidates.map(({ place, path }, index) => ({
    name: String(index),
    path: join(place.dataset, path),
  }));
  const of = (name: string) => candidates[Number(name)] as Candidate;
  const totalBytes = candidates.reduce((sum, { known }) => sum + known.size, 0);
  const differing: Candidate[] = [];
  let [files, bytes] = [0, 0];
  await runTasks("check", inputs, {
    bytesOf: ({ name }) => of(name).known.size,
    onDone: ({ name }, result) => {
      const candidate = of(name);
      files++;
      bytes += candidate.known.size;
      if (!result.ok || result.sha256 !== candidate.known.sha256) differing.push(candidate);
      onProgress?.({ phase: "verify", files, bytes, totalFiles: candidates.length, totalBytes });
    },
    signal,
  });
  return differing;
}
