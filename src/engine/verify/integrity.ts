import type { Storage } from "../../storage/storage.ts";
import { blobName } from "../format/names.ts";
import type { SnapshotContent, SnapshotFile } from "../snapshot.ts";
import type { BlobState } from "./blob-survey.ts";
import { count, failed, type Problem, passed, type VerificationResult } from "./result.ts";

type States = ReadonlyMap<string, BlobState>;

/** Whether each blob that a snapshot names is there, with its size, and where it was read with its bytes. */
export function checkIntegrity(
  storage: Storage,
  content: SnapshotContent,
  states: States,
): VerificationResult {
  const { id, tables, files, bytes } = content.snapshot;
  const problems: Problem[] = [];
  const blobs = new Set<string>();
  for (const table of tables) {
    for (const file of content.files.get(table.directory) ?? []) {
      blobs.add(file.sha256);
      const problem = problemOf(storage, table.id, file, states);
      if (problem) problems.push(problem);
    }
  }
  if (problems.length > 0) {
    const summary = `${problems.length} of ${count(files, "file")} cannot be restored`;
    return failed(id, "integrity", summary, problems);
  }
  const read = [...blobs].filter((sha256) => states.get(sha256)?.sha256 !== undefined).length;
  const how =
    read === blobs.size ? "every byte hashed" : read === 0 ? "sizes only" : `${read} of the blobs hashed`;
  const looked = `${count(files, "file")} in ${count(blobs.size, "blob")}, ${count(bytes, "byte")}`;
  return passed(id, "integrity", `${looked}: ${how}.`);
}

/** What is wrong with the blob of a file; undefined where nothing is known to be. */
export function problemOf(
  storage: Storage,
  table: string,
  file: SnapshotFile,
  states: States,
): Problem | undefined {
  const state = states.get(file.sha256);
  const name = blobName(file.sha256);
  const say = (how: string): Problem => ({
    what: `${table}: ${file.path} (${name} ${how})`,
    path: `${storage.location}/${name}`,
    cause: state?.error,
  });
  if (state?.error) return say(`cannot be read: ${state.error.message}`);
  if (state?.size === undefined) return say("is missing");
  if (state.size !== file.size) return say(`has ${count(state.size, "byte")} instead of ${file.size}`);
  if (state.sha256 === undefined || state.sha256 === file.sha256) return undefined;
  const other = states.has(state.sha256) ? `, but that of ${blobName(state.sha256)}` : "";
  return say(`has not the content that its name says${other}`);
}
