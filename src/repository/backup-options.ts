import {
  assertFlag,
  assertKnown,
  assertMilliseconds,
  assertOneOf,
  assertOptions,
  assertShrink,
  assertSignal,
} from "../checks.ts";
import { assertLabel } from "../engine/format/names.ts";
import type { OnProgress } from "../engine/progress.ts";
import type { Source } from "../engine/source-contract.ts";
import type { SourceUrlOptions } from "../engine/source-url.ts";
import { ValidationError } from "../errors.ts";
import { assertExclusions, type Exclusions } from "../lance/left-out.ts";

export interface BackupOptions extends Exclusions {
  /** A LanceDB database's directory, what else `sourceFromUrl` takes, or a source. */
  source?: string | Source | undefined;
  /** Several in place of one: they are taken together, at one moment as guarded writers see it. Each must be another. */
  sources?: readonly (string | Source)[] | undefined;
  /**
   * The database's id, by which its snapshots belong together: in place of the one that is kept in its directory, and
   * kept there from now on. 1 to 100 letters, digits and `_ . : + @ -`. Default: a UUID that its first backup gives it;
   * where nothing can be written, one that is derived from its path: give one then, where other databases have that path.
   */
  sourceId?: string | undefined;
  /** For sources that are named by a path or an address, what `sourceFromUrl` takes. */
  sourceOptions?: Omit<SourceUrlOptions, "sourceId"> | undefined;
  /** By which `get`, `restore` and others find it: the newest of the name. Need not be unique. */
  name?: string | undefined;
  /** Anything, up to 10,000 characters. */
  description?: string | undefined;
  tags?: readonly string[] | undefined;
  /**
   * `full` reads and hashes every file again: one whose content has changed behind an unchanged size and time is found so.
   * Default `incremental`: what the snapshot before has with the same size and stamp is not read. Either is complete.
   */
  type?: "full" | "incremental" | undefined;
  /** Ids of tables. Default: all. */
  tables?: readonly string[] | undefined;
  /** `latest` leaves older versions out. Default `all`. */
  history?: "all" | "latest" | undefined;
  /** Take a snapshot also where there is no table. Default false: a wrong directory has none either. */
  allowEmpty?: boolean | undefined;
  /**
   * Fail, and take no snapshot, where a table is gone or has far fewer rows than in the snapshot before that tells of it, of
   * the newest 1,000 of the repository: less than half of 100 or more. A number from 0 to below 1: where a table has lost more than this part of its rows, however few they
   * were. Default false: it is a warning, and the result says so.
   */
  failOnShrink?: boolean | number | undefined;
  /** How long to wait for guarded writes to end and for a prune, in milliseconds. Default 30,000. */
  lockTimeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** To be told what a backup would do: what it would read, and leave out. Writes nothing. */
export interface DryBackupOptions extends BackupOptions {
  dryRun: true;
}

const LONGEST_DESCRIPTION = 10_000;

/** @throws ValidationError, TypeError. Nothing has been touched. */
export function assertBackupOptions(options: BackupOptions): void {
  assertKnown(options, "backup", {
    source: true,
    sources: true,
    sourceId: true,
    sourceOptions: true,
    name: true,
    description: true,
    tags: true,
    type: true,
    tables: true,
    exclude: true,
    onUnsupported: true,
    history: true,
    allowEmpty: true,
    failOnShrink: true,
    lockTimeoutMs: true,
    signal: true,
    onProgress: true,
  });
  const { name, description, tags = [], tables, history = "all", type = "incremental" } = options;
  const sources = sourcesIn(options);
  for (const source of sources) assertSource(source);
  if (options.sourceId !== undefined) assertLabel(options.sourceId, "source id");
  if (options.sourceOptions !== undefined) assertOptions(options.sourceOptions, "sourceOptions");
  const named = sources.filter((source) => typeof source === "string");
  if (options.sourceId !== undefined && named.length !== 1) {
    throw new ValidationError(
      "sourceId is for one database's directory or address: other sources have an id of their own.",
    );
  }
  if (name !== undefined) assertLabel(name, "name");
  if (description !== undefined && typeof description !== "string") {
    throw new TypeError("description must be a string.");
  }
  if ((description?.length ?? 0) > LONGEST_DESCRIPTION) {
    throw new ValidationError(`description has more than ${LONGEST_DESCRIPTION} characters.`);
  }
  if (!Array.isArray(tags)) throw new TypeError("tags must be an array.");
  for (const tag of tags) assertLabel(tag, "tag");
  if (tables !== undefined && !Array.isArray(tables)) throw new TypeError("tables must be an array of ids.");
  if (tables?.length === 0) throw new ValidationError("tables is empty: name one at least, or leave it out.");
  assertExclusions(options);
  assertOneOf(history, "history", ["all", "latest"]);
  assertOneOf(type, "type", ["full", "incremental"]);
  assertFlag(options.allowEmpty, "allowEmpty");
  assertShrink(options.failOnShrink);
  assertMilliseconds(options.lockTimeoutMs, "lockTimeoutMs");
  assertSignal(options.signal);
}

/** The one, or several. @throws ValidationError, TypeError */
export function sourcesIn({
  source,
  sources,
}: Pick<BackupOptions, "source" | "sources">): readonly (string | Source)[] {
  if (source !== undefined && sources !== undefined) {
    throw new ValidationError("Give source or sources, not both.");
  }
  if (sources === undefined) return [source as string | Source];
  if (!Array.isArray(sources)) throw new TypeError("sources must be a list.");
  if (sources.length === 0) throw new ValidationError("sources is empty: name one at least.");
  return sources;
}

function assertSource(source: string | Source): void {
  if (typeof source !== "string" && typeof source?.capture !== "function") {
    throw new TypeError("source must be a database's directory, an address or a source.");
  }
  if (typeof source === "object" && (typeof source.id !== "string" || source.id === "")) {
    throw new TypeError("A source must have an id, by which its snapshots belong together.");
  }
  if (typeof source === "object" && (typeof source.type !== "string" || source.type === "")) {
    throw new TypeError("A source must have a type: what kind of source it is.");
  }
  if (typeof source === "object" && typeof source.uri !== "string") {
    throw new TypeError("A source must have a uri, by which people know it.");
  }
}
