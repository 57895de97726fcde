import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { listNames } from "../fs/directory-tree.ts";
import { isStray } from "../fs/safe-names.ts";
import { livenessOfToken } from "../fs/this-process.ts";
import { privateDirectory } from "../lance/private-directory.ts";
import { counted } from "../util/format.ts";
import type { Finding } from "./finding.ts";

/** What lies in our directory inside a database besides the journal: pins, what was moved aside, what is half-made. */
export async function diagnoseLeftovers(database: string, signal?: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = [];
  const pins = privateDirectory(database, "pins");
  for (const name of listNames(pins).filter((name) => !isStray(name))) {
    const size = await sizeOf(join(pins, name), signal);
    findings.push({
      check: "pins",
      about: join(pins, name),
      level: "note",
      details: `Periodic backups keep ${size} of old versions here; links take space only when the table has let go of them.`,
      advice: "Remove the directory if periodic backups into that backup directory have ended for good.",
    });
  }
  const aside = privateDirectory(database, "aside");
  if (listNames(aside).some((name) => !isStray(name))) {
    findings.push({
      check: "aside",
      about: aside,
      level: "note",
      details: `Damaged or replaced files were moved here: ${await sizeOf(aside, signal)}. Nothing reads them.`,
      advice: "Remove the directory when nobody wants to look at them any more, and no guarded work runs.",
    });
  }
  const staging = privateDirectory(database, "staging");
  const dead = listNames(staging).filter(
    (name) => livenessOfToken(name.split(".")[1] ?? "", join(staging, name)) === "dead",
  );
  if (dead.length > 0) {
    findings.push({
      check: "staging",
      about: staging,
      level: "note",
      details: `${counted(dead.length, "unfinished thing")} of processes that died.`,
      advice: "The next guarded operation or backup removes them.",
    });
  }
  return findings;
}

async function sizeOf(directory: string, signal: AbortSignal | undefined): Promise<string> {
  let [files, bytes] = [0, 0];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    signal?.throwIfAborted();
    if (!entry.isFile()) continue;
    const found = await lstat(join(entry.parentPath, entry.name)).catch(() => undefined); // it may go meanwhile
    files++;
    bytes += found?.size ?? 0;
  }
  return `${counted(files, "file")}, ${counted(bytes, "byte")}`;
}
