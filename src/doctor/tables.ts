import { existsSync, readdirSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { BackupError, UnsupportedError } from "../errors.ts";
import { listNames } from "../fs/directory-tree.ts";
import { isMissing, reasonOf, toIoError } from "../fs/io.ts";
import { isStray } from "../fs/safe-names.ts";
import { brokenIndices } from "../lance/broken-indices.ts";
import { listTables, type TableLocation } from "../lance/database.ts";
import { ImageReader, type VersionImage } from "../lance/image.ts";
import { inspectTable } from "../lance/put-back/table-state.ts";
import { isPlainFile, linkTarget } from "../lance/stubs.ts";
import { isDataset } from "../lance/table-directory.ts";
import { counted } from "../util/format.ts";
import { diagnoseIndices } from "./diagnose-indices.ts";
import { diagnoseDiskUse } from "./disk-use.ts";
import type { Finding } from "./finding.ts";
import { diagnoseOlderVersions } from "./older-versions.ts";
import { isReadable } from "./permissions.ts";
import { commandLine, type Remedies } from "./remedies.ts";
import { diagnoseTags } from "./tags.ts";

const LOCKED = "cannot be read: permission denied";

/** Every table: whether its newest version opens and has all its files, can be captured, and has tags that get in the way. */
export async function diagnoseTables(remedies: Remedies, signal?: AbortSignal): Promise<Finding[]> {
  const { database } = remedies;
  const findings: Finding[] = [];
  const tables = await listTables(database);
  for (const table of tables) {
    signal?.throwIfAborted();
    findings.push(...(await diagnoseTable(remedies, table, signal)));
  }
  findings.push(...(await emptyDirectories(database)));
  if (tables.length === 0) findings.push(noTable(remedies));
  return findings;
}

function noTable(remedies: Remedies): Finding {
  const { database, newest } = remedies;
  const base = { check: "table", about: database } as const;
  const details = "There is no table in the database.";
  if (!newest || newest.tables.length === 0) return { ...base, level: "note", details };
  return {
    ...base,
    level: "problem",
    details: `${details} Its newest snapshot, of ${newest.createdAt.toISOString()}, has ${counted(newest.tables.length, "table")}.`,
    advice: `Is the disk mounted, and is the path right? If the tables are lost: ${remedies.restore(newest.id)}`,
  };
}

async function diagnoseTable(
  remedies: Remedies,
  { id, directory }: TableLocation,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const dataset = join(remedies.database, directory);
  const base = { check: "table", about: id };
  const findings: Finding[] = [];
  try {
    const { manifests, damaged } = await inspectTable(dataset);
    const [newest] = manifests;
    if (damaged.length > 0) {
      const versions = damaged.map(({ version }) => version);
      findings.push({
        check: "manifest",
        about: id,
        level: "problem",
        details: `The newest manifest is damaged (version ${versions.join(", ")}), so that LanceDB cannot open the table.`,
        advice: newest
          ? headAdvice(remedies, id, versions, newest.version)
          : `No version of it is whole. ${restoreAdvice(remedies, id)}`,
      });
    }
    if (!newest && damaged.length === 0) findings.push(emptyTable(id, dataset));
    if (!newest) return findings;
    const image = await new ImageReader(dataset).read(newest);
    findings.push(
      diagnoseFiles(remedies, id, dataset, image),
      ...diagnoseIndices(remedies, id, dataset, image),
    );
    const link = linkTarget(dataset);
    if (link !== undefined) {
      const details = `Its directory is a symbolic link to ${link}. LanceDB's dropTable() removes the link, and leaves the files there.`;
      findings.push({ check: "link", about: id, level: "note", details });
    }
    findings.push(...(await diagnoseOlderVersions(remedies, id, dataset, image, signal)));
    findings.push(...(await diagnoseBranches(id, dataset)), ...(await diagnoseTags(id, dataset, manifests)));
    findings.push(...(await diagnoseDiskUse(id, dataset, manifests, signal)));
  } catch (error) {
    if (isMissing(error)) return findings; // it went while we looked
    findings.push(diagnoseRefusal(error, base));
  }
  return findings;
}

function diagnoseRefusal(error: unknown, base: Pick<Finding, "check" | "about">): Finding {
  if (!(error instanceof BackupError)) throw error;
  if (error instanceof UnsupportedError) {
    const advice =
      "Guarded writes and snapshots refuse it. Leave it out: name the other tables with --table.";
    return { ...base, level: "warning", details: error.message, advice };
  }
  return { ...base, level: "problem", details: reasonOf(error) };
}

/** The bytes themselves first: what `recover` does loses no file, but hides the rows of the damaged version. */
function headAdvice(remedies: Remedies, id: string, damaged: readonly number[], whole: number): string {
  const recover = `${remedies.recover()} moves it aside, and the table then shows version ${whole}.`;
  const { newest, repository } = remedies;
  if (newest && damaged.every((version) => remedies.has(id, version))) {
    return `${remedies.scrub()} brings it back from snapshot ${newest.id}. Only where that cannot: ${recover}`;
  }
  if (repository !== undefined) return recover;
  return `Where a snapshot has it, ${remedies.scrub()} brings it back. Where none has: ${recover}`;
}

/** Never `latest`, which may be a snapshot of another database. */
function restoreAdvice(remedies: Remedies, id: string): string {
  const { repository, newest, database } = remedies;
  if (newest && remedies.has(id)) return `Restore the table: ${remedies.restore(newest.id, id)}`;
  if (repository !== undefined)
    return `The newest snapshot of this database in ${repository} does not have the table.`;
  const list = commandLine("list", "--source", database);
  return `Restore the table in place from a snapshot of this database: ${list} shows them.`;
}

function diagnoseFiles(remedies: Remedies, id: string, dataset: string, image: VersionImage): Finding {
  const base = { check: "table", about: id };
  const bad = image.files.flatMap(({ path, size, index }) => {
    const found = statSync(join(dataset, path), { throwIfNoEntry: false });
    if (index && (!found || found.size !== (size ?? found.size))) return []; // told of the index
    if (!found) return [`${path} is missing`];
    if (!isReadable(join(dataset, path))) return [`${path} ${LOCKED}`];
    return size !== undefined && found.size !== size ? [`${path} has ${found.size} bytes, not ${size}`] : [];
  });
  if (bad.length === 0) {
    const rows = image.rows === undefined ? "" : `${counted(image.rows, "row")}, `;
    const size = `${rows}${counted(image.files.length, "file")}`;
    const whole =
      brokenIndices(dataset, image).length === 0 ? "all present with the right sizes" : "all rows there";
    return { ...base, level: "ok", details: `Version ${image.version}: ${size}, ${whole}.` };
  }
  const more = bad.length > 3 ? ` and ${bad.length - 3} more` : "";
  return {
    ...base,
    level: "problem",
    details: `Version ${image.version}: ${bad.slice(0, 3).join("; ")}${more}.`,
    advice: bad.every((what) => what.endsWith(LOCKED))
      ? "Give this user the right to read it, or work as the user who owns it."
      : `${remedies.scrub()} brings files back from a snapshot that has them.`,
  };
}

async function diagnoseBranches(id: string, dataset: string): Promise<Finding[]> {
  const directory = join(dataset, "_refs/branches");
  const files = listNames(directory).filter((name) => !isStray(name));
  const names = files.map((name) => name.replace(/\.json$/, ""));
  if (names.length === 0) return [];
  const details = `It has branches (${names.join(", ")}), which hold absolute paths.`;
  const advice =
    "Branches are in no backup and no snapshot. What is needed of them must be merged into the table.";
  return [{ check: "branches", about: id, level: "warning", details, advice }];
}

/** LanceDB lists every `*.lance` directory, and cannot open those that hold no dataset. */
async function emptyDirectories(database: string): Promise<Finding[]> {
  try {
    const entries = await readdir(database, { withFileTypes: true });
    return entries
      .filter((entry) => entry.name.endsWith(".lance") && !isDataset(join(database, entry.name)))
      .map(({ name }) => emptyTable(name, join(database, name)));
  } catch (error) {
    throw toIoError(error, "list", database);
  }
}

function emptyTable(about: string, directory: string): Finding {
  const base = { check: "table", about, level: "warning" } as const;
  const details = "LanceDB lists it as a table, but it is not one: it has no manifests.";
  const link = linkTarget(directory);
  if (link !== undefined && !existsSync(directory)) {
    const advice = "Mount the disk on which it lies, or remove the link.";
    return { ...base, details: `It is a symbolic link to ${link}, which does not exist.`, advice };
  }
  if (isPlainFile(directory)) {
    const advice = "Move it elsewhere: no table of that name can be made, and dropAllTables() fails.";
    return { ...base, details: "LanceDB lists it as a table, but it is a file.", advice };
  }
  if (!existsSync(directory)) {
    const advice = "Rename it, by a program that shows its bytes; then look at it again.";
    return { ...base, details: "Its name is not UTF-8, so that it cannot be opened.", advice };
  }
  if (existsSync(join(directory, "repository.json"))) {
    const advice = "Move it out of the database, best to another disk.";
    return { ...base, details: "It is a repository, but LanceDB lists it as a table.", advice };
  }
  const holds = readdirSync(directory).length;
  const advice = holds === 0 ? "It is empty: remove it." : "Look at what is in it, and move that elsewhere.";
  return { ...base, details, advice };
}
