import { brokenIndices } from "../lance/broken-indices.ts";
import { findOwners } from "../lance/file-owners.ts";
import { placeOf } from "../lance/fragment-files.ts";
import type { VersionImage } from "../lance/image.ts";
import type { Manifest } from "../lance/manifest.ts";
import type { IndexMetadata } from "../lance/proto/lance_pb.ts";
import type { Finding } from "./finding.ts";
import type { Remedies } from "./remedies.ts";

/** Indices of a table's newest version that lack files, or that the manifest has more than once. */
export function diagnoseIndices(
  remedies: Remedies,
  id: string,
  dataset: string,
  image: VersionImage,
): Finding[] {
  const findings: Finding[] = brokenIndices(dataset, image).map(({ name, directory, why }) => {
    const inSnapshot = remedies.has(id) ? ` Or bring its files back: ${remedies.scrub()}` : "";
    return {
      check: "index",
      about: id,
      level: "problem",
      details: `Index "${name}" is broken: ${why}. Whatever uses it fails; the rows are all there, and backups leave it out.`,
      advice: `Create it again in LanceDB: ${remake(name, columnsOf(image.parsed, directory))}.${inSnapshot}`,
    };
  });
  for (const name of twice(image.parsed.indices)) {
    findings.push({
      check: "index",
      about: id,
      level: "warning",
      details: `Index "${name}" is in the manifest several times for the same rows. Searches work; each write and optimize() does the work as often.`,
      advice: `Create it again in LanceDB: ${remake(name, columnsNamed(image.parsed, name))}.`,
    });
  }
  return findings;
}

function remake(name: string, columns: readonly string[]): string {
  const [column = "…"] = columns;
  return `table.dropIndex(${JSON.stringify(name)}), then table.createIndex(${JSON.stringify(column)}, …) with the settings that it had`;
}

/** An index made of several parts has the same name for each, and other fragments. */
function twice(indices: readonly IndexMetadata[]): Set<string> {
  const seen = new Set<string>();
  const names = new Set<string>();
  for (const { name, $unknown } of indices) {
    const fragments = $unknown?.find(({ no }) => no === FRAGMENT_BITMAP)?.data ?? new Uint8Array();
    const key = `${Buffer.from(fragments).toString("hex")} ${name}`;
    if (seen.has(key) && !name.startsWith("__")) names.add(name);
    seen.add(key);
  }
  return names;
}

/** Of Lance's IndexMetadata. */
const FRAGMENT_BITMAP = 5;

function columnsNamed(manifest: Manifest, name: string): readonly string[] {
  const index = manifest.indices.find((one) => one.name === name);
  return index ? columnsOf(manifest, placeOf(index).directory) : [];
}

function columnsOf(manifest: Manifest, directory: string): readonly string[] {
  const inside = `${directory}/x`;
  return findOwners(manifest, [inside]).get(inside)?.columns ?? [];
}
