import type { Table } from "@lancedb/lancedb";
import { sameSchema } from "../../arrow/schemas.ts";
import { type CommitKind, commitKindOf } from "../commit-kind.ts";
import { listManifests, type Manifest } from "../manifest.ts";
import { sameFieldIds } from "../manifest-fields.ts";
import { findManifest } from "../put-back/table-state.ts";
import { sameFields } from "../same-content.ts";
import { AddressSet } from "./addresses.ts";
import { diffFragments } from "./differing-fragments.ts";
import { diffRows } from "./differing-rows.ts";
import { proveKeys } from "./prove-keys.ts";

/**
 * What leads from one version of a table to another.
 * `changes`: rows of the newer version to put in by key, and rows of the older one whose keys are gone;
 * both may be none. `replaced`: only all rows of the newer version say it, and why.
 */
export type TableDelta =
  | { readonly form: "changes"; readonly upserts: AddressSet; readonly deletes: AddressSet }
  | { readonly form: "replaced"; readonly why: string; readonly cause: "schema" | "recreated" | "keys" };

interface DeltaInput {
  readonly before: Manifest;
  readonly after: Manifest;
  readonly newer: Table;
  /** Opened only where rows of the older version must be read. */
  readonly older: () => Promise<Table>;
  readonly key: readonly string[];
  /** Tells whether only rewrites, indices and settings lie between; asked only where fragments differ. */
  readonly onlyMoves: () => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
}

/** Compares two versions of a table, reading as little as their manifests allow. Writes nothing. */
export async function planDelta(input: DeltaInput): Promise<TableDelta> {
  const { before, after, newer, key, signal } = input;
  const schema = await newer.schema();
  const columns = schema.fields.map((field) => field.name);
  if (!sameFields(before, after) || !sameBytes(before.message.schemaMetadata, after.message.schemaMetadata)) {
    const older = await input.older();
    if (!sameSchema(await older.schema(), schema) || !sameFieldIds(before, after)) {
      return { form: "replaced", why: "its columns changed", cause: "schema" };
    }
  }
  const fragments = diffFragments(before, after);
  const none = { form: "changes", upserts: new AddressSet(), deletes: new AddressSet() } as const;
  if (fragments.deletions.length + fragments.gone.length + fragments.made.length === 0) return none;
  if (after.version < before.version) {
    return { form: "replaced", why: "it was dropped and made again", cause: "recreated" };
  }
  if (await input.onlyMoves()) return none;
  const versions = {
    older: { table: await input.older(), manifest: before },
    newer: { table: newer, manifest: after },
    columns,
    signal,
  };
  const keyed = await proveKeys(versions, await diffRows(versions, fragments), key);
  if (!keyed.usable) return { form: "replaced", why: keyed.why, cause: "keys" };
  return { form: "changes", upserts: keyed.upserts, deletes: keyed.deletes };
}

function sameBytes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return (
    a.length === b.length && a.every((bytes, at) => Buffer.compare(bytes, b[at] ?? new Uint8Array()) === 0)
  );
}

/** Commits after which a table holds the same rows, whatever files it has. */
const KEEPS_ROWS: ReadonlySet<CommitKind | undefined> = new Set<CommitKind>([
  "createIndex",
  "rewrite",
  "reserveFragments",
  "updateConfig",
]);

/** Reading every manifest of a long way costs more than it spares. */
const MOST_COMMITS = 1000;

/** A table's version, and the SHA-256 of its manifest. */
interface VersionIdentity {
  readonly version: number;
  readonly digest: string;
}

/**
 * Whether every commit between two versions is known to have kept all rows: compactions, indices, settings.
 * False also where that cannot be told, because manifests between them were cleaned up, or the table was
 * dropped and made again.
 */
export async function onlyMovesRows(
  dataset: string,
  from: VersionIdentity,
  to: VersionIdentity,
): Promise<boolean> {
  if (to.version <= from.version || to.version - from.version > MOST_COMMITS) return false;
  const manifests = await listManifests(dataset);
  for (const end of [from, to]) {
    if (!(await findManifest(dataset, end.version, end.digest, manifests))) return false;
  }
  const between = manifests.filter(({ version }) => version > from.version && version <= to.version);
  if (between.length !== to.version - from.version) return false;
  return between.every((name) => KEEPS_ROWS.has(commitKindOf(dataset, name)));
}
