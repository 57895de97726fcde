import { counted } from "../../util/format.ts";
import { type BlobStore, type FileToRead, needsOf } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import { blobsOfContent, type PartContent, type StoredContent } from "../snapshot.ts";
import { kindOf } from "../source-kind.ts";
import type { BlobState } from "./blob-survey.ts";
import { failed, type Problem, passed, type VerificationResult } from "./result.ts";

type States = ReadonlyMap<string, BlobState>;

/** Whether each blob that a part of a snapshot names is there, with its size, and where it was read with its bytes. */
export function checkIntegrity(
  blobs: BlobStore,
  { snapshot: { id } }: StoredContent,
  part: PartContent,
  states: States,
): VerificationResult {
  const { files, bytes } = part;
  const problems: Problem[] = [];
  const named = [...blobsOfContent({ parts: [part] }).keys()];
  for (const file of filesToRead(part)) {
    const problem = problemOf(blobs, file, states);
    if (problem) problems.push(problem);
  }
  if (problems.length > 0) {
    const summary = `${problems.length} of ${counted(files, "file")} cannot be restored`;
    return failed(id, "integrity", summary, problems);
  }
  const read = named.filter((name) => states.get(name)?.sha256 !== undefined).length;
  const how =
    read === named.length ? "every byte hashed" : read === 0 ? "sizes only" : `${read} of the blobs hashed`;
  const looked = `${counted(files, "file")} in ${counted(named.length, "blob")}, ${counted(bytes, "byte")}`;
  return passed(id, "integrity", `${looked}: ${how}.`);
}

/** The files of a part, each with what it is of. */
function* filesToRead({ source, entries }: PartContent): Generator<FileToRead> {
  const kind = kindOf(source.type);
  for (const entry of entries) {
    yield { ...entry, ...(kind?.locate?.(entry.path) ?? { table: source.uri }) };
  }
}

/** What is wrong with the blobs of a file; undefined where nothing is known to be. */
export function problemOf(blobs: BlobStore, file: FileToRead, states: States): Problem | undefined {
  for (const need of needsOf(file)) {
    const state = states.get(need.blob);
    const name = blobName(need.blob);
    const say = (how: string): Problem => ({
      what: `${file.table}: ${file.path} (${name} ${how})`,
      path: blobs.placeOf(need.blob),
      cause: state?.error,
    });
    if (state?.error) return say(`cannot be read: ${state.error.message}`);
    if (state?.size === undefined) return say("is missing");
    if (!blobs.holds(state.size, need)) {
      const least = need.isWhole ? `${need.bytes}` : `${need.offset + need.bytes} or more`;
      return say(`has ${counted(state.size, "byte")} instead of ${least}`);
    }
    if (state.sha256 === undefined || state.sha256 === need.blob) continue;
    const other = states.has(state.sha256) ? `, but that of ${blobName(state.sha256)}` : "";
    return say(`has content that does not match its name${other}`);
  }
  return undefined;
}

/** Whether all that a file needs is there, as far as sizes tell. */
export function isThere(
  blobs: BlobStore,
  file: Pick<FileToRead, "sha256" | "size" | "pieces">,
  states: States,
): boolean {
  return needsOf(file).every((need) => blobs.holds(states.get(need.blob)?.size, need));
}
