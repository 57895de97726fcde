import { join } from "node:path";
import { TAGS } from "../../../lance/capture.ts";
import { allRowsOf } from "../../../lance/file-owners.ts";
import { parseManifestName, VERSIONS } from "../../../lance/manifest.ts";
import type { Finding } from "./compare.ts";
import { compareWithBlob, type Difference } from "./difference.ts";
import { type Contents, contentsOf, type LocatedFile } from "./locate.ts";
import type { Damage } from "./scrub-report.ts";

/** Tells all that can be told of a damaged file: where it differs, what it holds, and whether it can be mended. */
export async function describeDamage(
  finding: Finding,
  located: LocatedFile | undefined,
  signal: AbortSignal | undefined,
): Promise<Damage> {
  const { place, path, known, problem } = finding;
  const file = join(place.dataset, path);
  const difference = known && (await compareWithBlob(place, file, known, signal).catch(asUnsound));
  const isSound = difference?.blobIsSound === true;
  const refused =
    finding.refused ??
    (known && !isSound ? `the snapshot's own copy, ${known.sha256}, is damaged` : undefined);
  const stretches = isSound && problem !== "missing" ? difference.stretches : undefined;
  const contents: Contents | undefined =
    located && known && stretches
      ? await contentsOf(place, known, located, stretches)
      : located && { columns: located.columns, rows: allRowsOf(located.fragment) };
  const [first, last] = [stretches?.[0], stretches?.at(-1)];
  const told: Omit<Damage, "details"> = {
    table: place.id,
    path,
    file,
    kind: kindOf(path),
    problem,
    sha256: known?.sha256,
    size: known?.size,
    bytes: first && last && { first: first.start, last: last.end - 1, count: difference?.count ?? 0 },
    version: versionOf(path) ?? located?.version,
    index: located?.index,
    columns: contents && contents.columns.length > 0 ? contents.columns : undefined,
    rows: contents && contents.rows.length > 0 ? contents.rows : undefined,
    mended: false,
    refused,
  };
  return { ...told, details: inWords(told) };
}

/** A blob that cannot be read is of no use, for whatever reason. */
function asUnsound(): Difference {
  return { blobIsSound: false, stretches: [], count: 0 };
}

function kindOf(path: string): Damage["kind"] {
  if (path.startsWith(`${VERSIONS}/`)) return "manifest";
  if (path.startsWith(`${TAGS}/`)) return "tag";
  if (path.startsWith("_deletions/")) return "deletions";
  if (path.startsWith("_indices/")) return "index";
  if (path.startsWith("data/")) return path.endsWith(".lance") ? "data" : "blobs";
  return "other";
}

function versionOf(path: string): number | undefined {
  return path.startsWith(`${VERSIONS}/`)
    ? parseManifestName(path.slice(VERSIONS.length + 1))?.version
    : undefined;
}

const PROBLEM = {
  missing: "is missing",
  size: "has another size than in the snapshot",
  content: "has other bytes than in the snapshot",
} as const;

function inWords(damage: Omit<Damage, "details">): string {
  const { table, path, problem, bytes, version, index, columns, rows, kind } = damage;
  const parts = [
    bytes &&
      (bytes.count === 1
        ? `byte ${bytes.first} differs`
        : `${bytes.count} bytes differ, from ${bytes.first} to ${bytes.last}`),
    index !== undefined && `index ${index}`,
    kind === "data" && bytes && !columns && "in padding, which nothing reads",
    columns && `columns ${columns.join(", ")}`,
    rows?.map(({ fragment, first, last }) => `rows ${first} to ${last} of fragment ${fragment}`).join(", "),
    version !== undefined && (kind === "manifest" ? `version ${version}` : `needed by version ${version}`),
  ].filter((part) => part !== undefined && part !== false);
  return `Table ${table}: ${path} ${PROBLEM[problem]}${parts.length > 0 ? ` (${parts.join("; ")})` : ""}.`;
}
