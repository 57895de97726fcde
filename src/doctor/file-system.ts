import { existsSync, linkSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfSystem, reasonOf } from "../fs/io.ts";
import { reflink } from "../fs/placer.ts";
import {
  makeStagingDirectory,
  PRIVATE_DIRECTORY,
  privateDirectory,
  removeIfEmpty,
  removeStagingDirectory,
} from "../lance/private-directory.ts";
import type { Finding } from "./finding.ts";

/** Magic numbers of `statfs`, which Linux gives. */
const NAMES: Readonly<Record<number, string>> = {
  61267: "ext4",
  1481003842: "XFS",
  2435016766: "Btrfs",
  801189825: "ZFS",
  16914836: "tmpfs",
  26985: "NFS",
  2035054128: "overlayfs",
  4283649346: "CIFS",
  1702057286: "FUSE",
};

const REMOTE = new Set(["NFS", "CIFS"]);
const GB = 1e9;
const LEAST_FREE = GB;
const LEAST_SHARE = 0.05;

/** Which links the database's file system can make, and how much room it has. */
export async function diagnosePlace(database: string, what: string): Promise<Finding[]> {
  return [...diagnoseSpace(database, what), await diagnoseLinks(database)];
}

/** The room on the file system of a directory, and what kind of file system that is. */
export function diagnoseSpace(directory: string, what: string): Finding[] {
  const { bavail, blocks, bsize, type } = statfsSync(directory);
  const [free, total] = [bavail * bsize, blocks * bsize];
  const low = free < LEAST_FREE || free < total * LEAST_SHARE;
  const findings: Finding[] = [
    {
      check: "space",
      about: directory,
      level: low ? "warning" : "ok",
      details: `${gigabytes(free)} of ${gigabytes(total)} GB are free for the ${what}.`,
      advice: low
        ? "Free some space; a write that meets a full disk is rolled back, and a backup stops."
        : undefined,
    },
  ];
  const name = NAMES[type];
  if (name === undefined) return findings;
  const isRemote = REMOTE.has(name);
  findings.push({
    check: "file system",
    about: directory,
    level: isRemote || name === "tmpfs" ? "warning" : "ok",
    details: `The ${what} lies on ${name}.`,
    advice: isRemote
      ? "Locks and links over a network depend on server and mount options: use it from one machine only."
      : name === "tmpfs"
        ? "What is on it is gone when the machine stops."
        : undefined,
  });
  return findings;
}

async function diagnoseLinks(database: string): Promise<Finding> {
  const base = { check: "links", about: database };
  const ours = [privateDirectory(database, "staging"), join(database, PRIVATE_DIRECTORY)];
  const missing = ours.filter((path) => !existsSync(path));
  let directory: string;
  try {
    directory = makeStagingDirectory(database, "probe");
  } catch (error) {
    return {
      ...base,
      level: "warning",
      details: `Nothing can be written there: ${reasonOf(error)}`,
      advice: "Guarded writes need to write to the database's directory; snapshots can be taken without.",
    };
  }
  try {
    const source = join(directory, "source");
    writeFileSync(source, "probe");
    const hasReflinks = await can(() => reflink(source, join(directory, "reflink")));
    const hardLink = await can(() => linkSync(source, join(directory, "link")));
    const words = `Reflinks: ${yesNo(hasReflinks)}. Hard links: ${yesNo(hardLink)}.`;
    if (hasReflinks || hardLink) return { ...base, level: "ok", details: words };
    const advice =
      "Every backup copies every byte here. A file system with links makes backups in milliseconds.";
    return { ...base, level: "warning", details: words, advice };
  } finally {
    removeStagingDirectory(directory);
    for (const path of missing) removeIfEmpty(path);
  }
}

async function can(attempt: () => unknown): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch (error) {
    if (!isOfSystem(error)) throw error;
    return false;
  }
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

function gigabytes(bytes: number): string {
  return (bytes / GB).toLocaleString("en", { maximumFractionDigits: 1 });
}
