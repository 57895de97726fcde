import { BackupError } from "../../errors.ts";
import { isStray } from "../../fs/safe-names.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { Storage } from "../../storage/storage.ts";
import { counted } from "../../util/format.ts";
import { isOfUnknownKey } from "../blobs/blob-codec.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import {
  BLOBS,
  blobName,
  labelsName,
  parseBlobName,
  parseSnapshotName,
  REPOSITORY,
  SNAPSHOTS,
} from "../format/names.ts";
import { LabelStore } from "../labels/label-store.ts";
import { readMarker } from "../marker.ts";
import { surveyDocuments } from "../prune/document-names.ts";
import { References } from "../prune/references.ts";
import type { BlobState } from "./blob-survey.ts";
import { failed, type Problem, passed, type VerificationResult } from "./result.ts";

/** What lies in a repository beside what its snapshots name. */
export interface Surroundings {
  /** Blobs that no snapshot names, and their bytes. */
  readonly unreferenced: ReadonlyMap<string, number>;
  /** Names of objects that are none of a repository's. */
  readonly foreign: readonly string[];
  /** Names below `snapshots/` that may be those of documents, and are no ids. */
  readonly documents: readonly string[];
  /** Names of second documents of snapshots, as synchronising programs keep them. */
  readonly copies: readonly string[];
  /** The same of snapshots that have no other document: nothing lists them. */
  readonly lost: readonly string[];
  /** Names of unfinished work; a local directory's alone can be seen. */
  readonly unfinished: readonly string[];
  /** Links, directories and others under names of blobs or documents: nothing reads them. */
  readonly noFiles: readonly string[];
  /** Records of labels that cannot be read, and why. */
  readonly labels: readonly Problem[];
  /** Why not all could be listed. */
  readonly error: BackupError | undefined;
}

/** Looks at everything that lies below `blobs/` and `snapshots/`. Reads nothing. */
export async function surveySurroundings(
  { storage, documents: codec }: BlobStore,
  named: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<Surroundings> {
  const unreferenced = new Map<string, number>();
  const foreign: string[] = [];
  const documents: string[] = [];
  const [copies, lost]: [string[], string[]] = [[], []];
  let problem: BackupError | undefined;
  const keepProblem = (error: unknown) => {
    if (!(error instanceof BackupError)) throw error;
    problem ??= error;
  };
  try {
    const survey = await surveyDocuments(storage, signal);
    for (const name of survey.strangers) documents.push(name);
    for (const name of survey.others) foreign.push(name);
    for (const { name, id } of survey.copies) (survey.ids.includes(id) ? copies : lost).push(name);
    const kept = new References(storage, codec);
    for (const copy of survey.copies) await kept.addCopies([copy], signal).catch(keepProblem);
    for await (const { name, size } of storage.list(BLOBS)) {
      signal?.throwIfAborted();
      const sha256 = parseBlobName(name);
      if (sha256 === undefined) foreign.push(name);
      else if (!named.has(sha256) && !kept.has(sha256)) unreferenced.set(sha256, size);
    }
  } catch (error) {
    keepProblem(error);
  }
  const labels = await damagedLabels(storage, codec, signal).catch((error: unknown) => {
    keepProblem(error);
    return [];
  });
  const hidden = storage.local && (await lookForHidden(storage.local));
  const { unfinished = [], noFiles = [], strays = [] } = hidden ?? {};
  const told = new Set([...foreign, ...copies, ...lost]);
  for (const name of strays) if (!told.has(name)) foreign.push(name);
  return { unreferenced, foreign, documents, copies, lost, unfinished, noFiles, labels, error: problem };
}

/** The result that is about the repository and not about a snapshot. */
export async function checkRepository(
  storage: Storage,
  { unreferenced, foreign, documents, copies, lost, unfinished, noFiles, labels, error }: Surroundings,
  states: ReadonlyMap<string, BlobState>,
): Promise<VerificationResult> {
  const at = (name: string) => `${storage.location}/${name}`;
  const problems: Problem[] = [];
  const mark = await problemOfMark(storage);
  if (mark) problems.push(mark);
  if (error) problems.push({ what: error.message, path: storage.location, cause: error });
  for (const problem of labels) problems.push(problem);
  for (const name of noFiles)
    problems.push({ what: `${name} is not a regular file, and is not read`, path: at(name) });
  for (const name of documents.filter((name) => !noFiles.includes(name)))
    problems.push({
      what: `${name} may be a snapshot under a wrong name; prune refuses to run`,
      path: at(name),
    });
  for (const name of lost)
    problems.push({
      what: `${name} is the only document of its snapshot, under a wrong name: rename it to what it was, or move it away`,
      path: at(name),
    });
  for (const sha256 of unreferenced.keys()) {
    const found = states.get(sha256);
    if (isOfUnknownKey(found?.error)) continue;
    if (!found || (found.error === undefined && (found.sha256 === undefined || found.sha256 === sha256)))
      continue;
    const how = found.error
      ? `cannot be read: ${found.error.message}`
      : "has content that does not match its name";
    problems.push({
      what: `${blobName(sha256)}, which no snapshot names, ${how}`,
      path: at(blobName(sha256)),
    });
  }
  const bytes = [...unreferenced.values()].reduce((sum, size) => sum + size, 0);
  const notes = [
    unreferenced.size > 0 &&
      `${counted(unreferenced.size, "blob")} of ${counted(bytes, "byte")} named by no snapshot that can be read, which prune removes in time: ${shown([...unreferenced.keys()].map(blobName))}`,
    copies.length > 0 && `copies of documents, whose blobs prune keeps: ${shown(copies)}`,
    unfinished.length > 0 && `unfinished work: ${shown(unfinished)}`,
    foreign.length > 0 && `not of a repository: ${shown(foreign)}`,
  ].filter((note) => note !== false);
  if (problems.length > 0)
    return failed("", "repository", "The repository is damaged", [...problems, ...asProblems(notes)]);
  return passed(
    "",
    "repository",
    notes.length > 0 ? `Nothing is wrong with it. ${notes.join("; ")}.` : "Nothing is wrong with it.",
  );
}

/** Their snapshots count as pinned. */
async function damagedLabels(
  storage: Storage,
  documents: DocumentCodec,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  const all = await new LabelStore({ storage, documents }).all(signal);
  return [...all].flatMap(([id, { number, error }]) =>
    error
      ? [
          {
            what: `what was said of snapshot ${id} cannot be read, so that it counts as pinned${error.code === "UNSUPPORTED" ? "" : "; pin or unpin it anew"}: ${error.message}`,
            path: `${storage.location}/${labelsName(id, number)}`,
            cause: error,
          },
        ]
      : [],
  );
}

function asProblems(notes: readonly string[]): Problem[] {
  return notes.map((what) => ({ what, path: "" }));
}

async function problemOfMark(storage: Storage): Promise<Problem | undefined> {
  const path = `${storage.location}/${REPOSITORY}`;
  try {
    if (await readMarker(storage)) return undefined;
    return { what: `${REPOSITORY} is missing: snapshots can be restored, and none can be taken`, path };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return { what: error.message, path, cause: error };
  }
}

/** A local storage passes over these. */
async function lookForHidden(
  local: LocalFiles,
): Promise<Pick<Surroundings, "unfinished" | "noFiles"> & { readonly strays: readonly string[] }> {
  const [unfinished, noFiles, strays]: [string[], string[], string[]] = [[], [], []];
  for (const room of [BLOBS, SNAPSHOTS]) {
    for await (const { name, kind } of local.strays(room)) {
      const base = name.slice(name.lastIndexOf("/") + 1);
      const isOurs = parseBlobName(name) !== undefined || parseSnapshotName(name) !== undefined;
      if (isStray(base)) strays.push(name);
      else if (base.startsWith(".")) unfinished.push(name);
      else if (kind === "other" || (isOurs && kind === "directory")) noFiles.push(name);
    }
  }
  return { unfinished, noFiles, strays };
}

function shown(names: readonly string[]): string {
  const most = 5;
  const more = names.length - most;
  return `${names.slice(0, most).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
