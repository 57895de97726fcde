import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";
import { isMissing, toIoError } from "../fs/io.ts";
import { isCopy, isStray } from "../fs/safe-names.ts";
import { TAGS } from "../lance/capture.ts";
import { parseManifestName, VERSIONS } from "../lance/manifest.ts";
import { PRIVATE_DIRECTORY } from "../lance/private-directory.ts";
import { isDataset, isStrayDirectory } from "../lance/table-directory.ts";
import { tagOfFile } from "../lance/tag-file.ts";
import { counted } from "../util/format.ts";
import type { Finding } from "./finding.ts";
import { commandLine } from "./remedies.ts";

const CHECK = "strays";
const MOVE = "Move it away, where no synchronising program keeps it";

/**
 * What file managers and synchronising programs have put into a database or repository. We pass over all of it; what
 * keeps LanceDB from its work, or is taken for something by it, is a finding of its own.
 */
export function diagnoseStrays(
  root: string,
  what: "database" | "repository",
  signal?: AbortSignal,
): Finding[] {
  const findings: Finding[] = [];
  const harmless: string[] = [];
  let copies = 0;
  const walk = (folder: string) => {
    for (const entry of entriesOf(join(root, folder))) {
      signal?.throwIfAborted();
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      const isDatabases = what === "database" && !path.startsWith(PRIVATE_DIRECTORY);
      const finding = isDatabases ? inTheWay(root, path, entry) : undefined;
      if (isCopy(entry.name)) copies++;
      if (finding) findings.push(finding);
      else if (isStray(entry.name)) harmless.push(path);
      else if (entry.isDirectory()) walk(path);
    }
  };
  walk("");
  if (harmless.length > 0) {
    const shown = harmless.slice(0, 3).join(", ") + (harmless.length > 3 ? ", …" : "");
    const details = `${counted(harmless.length, "file")} of file managers or synchronising programs: ${shown}. They are ignored.`;
    findings.push({ check: CHECK, about: root, level: "note", details });
  }
  if (copies > 0 && what === "database") {
    const details = `A synchronising program has kept ${counted(copies, "second version")} of its files or directories: several machines write to it, and the files of a table do not fit together when they come one by one.`;
    const advice = `Take the database out of the synchronised directory; ${commandLine("backup", "--help")} says how to take snapshots into a repository, which may be there.`;
    findings.push({ check: CHECK, about: root, level: "warning", details, advice });
  }
  return findings;
}

function inTheWay(root: string, path: string, entry: Dirent): Finding | undefined {
  const base = { check: CHECK, about: join(root, path) };
  const { name } = entry;
  const folder = path.slice(0, -name.length);
  if (folder.endsWith(`/${VERSIONS}/`) && isStray(name) && /^[^. ][^ ]*\.manifest$/.test(name)) {
    if (parseManifestName(name)) return undefined;
    const details = "A copy of a manifest: LanceDB may refuse to open the table while it lies there.";
    return { ...base, level: "problem", details, advice: `${MOVE}.` };
  }
  if (folder.endsWith(`/${TAGS}/`) && name.endsWith(".json") && tagOfFile(name) === undefined) {
    const details =
      "It is not a tag, but LanceDB takes it for one: tags.list() and optimize() may throw, or list a tag that nobody made.";
    return { ...base, level: "problem", details, advice: `${MOVE}.` };
  }
  if (folder === "" && isStrayDirectory(name) && isDataset(join(root, path))) {
    const details =
      "A copy of a table's directory: it is in no backup, and LanceDB lists it and cannot open it.";
    const advice = `Where it has rows that the table lacks, give it a table's name (letters, digits, "_", "-", ".") and compare them; otherwise move it away.`;
    return { ...base, level: "warning", details, advice };
  }
  if (folder === "" && !entry.isDirectory() && isStray(name) && name.endsWith(".lance")) {
    const details = "It is not a table, but LanceDB lists it as one.";
    return { ...base, level: "warning", details, advice: `${MOVE}.` };
  }
  return undefined;
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
