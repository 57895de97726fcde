import { BackupError, ValidationError } from "../../errors.ts";
import { liesInFuture } from "../../fs/clock-tolerance.ts";
import { NAMESPACE_TABLE } from "../../lance/database.ts";
import type { Logger } from "../../logger.ts";
import type { Catalog, ResolveOptions } from "../catalog/catalog.ts";
import type { Snapshot, SnapshotContent, SnapshotTableDetails } from "../snapshot.ts";
import type { Selection } from "./options.ts";
import type { LeftOut } from "./select.ts";

/** A snapshot that has what tables held at a moment. */
export interface AtMoment {
  readonly content: SnapshotContent;
  /** Tables that a snapshot from before the moment has, and none from after it. */
  readonly leftOut: readonly LeftOut[];
}

export interface MomentContext {
  readonly catalog: Pick<Catalog, "content" | "candidates">;
  readonly logger: Logger;
  readonly nowMs: number;
}

/**
 * Finds the snapshot that has what the tables held at `selection.at`: one that was taken then or later, with a history
 * that reaches back so far. For `latest` and a name the earliest of those that have it for every table, or else for
 * most; a snapshot that is named by its id must have it itself.
 *
 * @throws ValidationError where the one that is named does not have it, and another has, or none can: it names that one.
 * @throws BackupNotFoundError, ValidationError, CorruptError as `Catalog.candidates`.
 */
export async function findAtMoment(
  context: MomentContext,
  reference: string,
  selection: Selection & { readonly at: Date },
  options: ResolveOptions,
): Promise<AtMoment> {
  const { catalog, nowMs } = context;
  const { chosen, among } = await catalog.candidates(reference, options);
  const sound = among.filter(({ createdAt }) => !liesInFuture(createdAt.getTime(), nowMs));
  const all = (sound.length > 0 ? sound : among).toReversed();
  const search = new Search(context, selection, all, options.signal);
  return chosen === undefined ? search.best(reference) : search.mustHave(chosen);
}

/** How well a snapshot tells what tables held. */
interface Coverage {
  readonly content: SnapshotContent;
  /** Ids of tables of which it does not say. */
  readonly without: readonly string[];
  /** Ids of tables of which versions are missing just after the one that counts: another may have been there. */
  readonly unsure: readonly string[];
}

class Search {
  readonly #context: MomentContext;
  readonly #selection: Selection & { readonly at: Date };
  /** Of one database, the oldest first. */
  readonly #all: readonly Snapshot[];
  readonly #signal: AbortSignal | undefined;

  constructor(
    context: MomentContext,
    selection: Selection & { readonly at: Date },
    all: readonly Snapshot[],
    signal: AbortSignal | undefined,
  ) {
    this.#context = context;
    this.#selection = selection;
    this.#all = all;
    this.#signal = signal;
  }

  async best(reference: string): Promise<AtMoment> {
    const { logger } = this.#context;
    const found = await this.#best();
    if (!found || this.#hasNothing(found)) throw this.#nowhere(reference);
    if (found.unsure.length > 0) {
      logger.warn("versions are missing after the one that is taken for the moment", {
        snapshot: found.content.snapshot.id,
        tables: found.unsure,
      });
    }
    return { content: found.content, leftOut: this.#lost(found.content.snapshot) };
  }

  async mustHave(id: string): Promise<AtMoment> {
    const { at } = this.#selection;
    const content = await this.#context.catalog.content(id, this.#signal);
    const { createdAt } = content.snapshot;
    const isBefore = createdAt < at;
    const own = coverageOf(content, this.#selection, []);
    if (!isBefore && own.without.length === 0 && own.unsure.length === 0) return { content, leftOut: [] };
    const other = await this.#best();
    const isBetter =
      other &&
      (isBefore
        ? !this.#hasNothing(other)
        : other.without.length < own.without.length || isSurer(other, own));
    if (isBetter) {
      const whole = other.without.length === 0 ? "" : `, but for ${other.without.join(", ")}`;
      throw new ValidationError(
        `Snapshot ${id} ${isBefore ? `was taken ${createdAt.toISOString()}, before ${at.toISOString()}` : `does not have every table as of ${at.toISOString()}`}: what the tables held then is in snapshot ${other.content.snapshot.id}${whole}. Name that one, or latest.`,
      );
    }
    if (isBefore) throw this.#nowhere(id);
    return { content, leftOut: [] };
  }

  /** The earliest with the least that is missing; undefined where none was taken at the moment or later. */
  async #best(): Promise<Coverage | undefined> {
    const { at, tables } = this.#selection;
    const later = this.#all.filter(
      (snapshot) => snapshot.createdAt >= at && (tables ?? []).every((id) => hasTable(snapshot, id)),
    );
    const known = this.#knownBefore().filter((id) => later.some((snapshot) => hasTable(snapshot, id)));
    let best: Coverage | undefined;
    let damage: unknown;
    for (const { id } of later) {
      let content: SnapshotContent;
      try {
        content = await this.#context.catalog.content(id, this.#signal);
      } catch (error) {
        if (!(error instanceof BackupError)) throw error;
        damage ??= error;
        this.#context.logger.warn("a snapshot cannot be read and is passed over", {
          snapshot: id,
          reason: error.message,
        });
        continue;
      }
      const found = coverageOf(content, this.#selection, known);
      if (found.without.length === 0 && found.unsure.length === 0) return found;
      if (!best || found.without.length < best.without.length || isSurer(found, best)) best = found;
    }
    if (!best && damage !== undefined) throw damage;
    return best;
  }

  /** Tables that the last snapshot from before the moment has: a later one without them lacks something. */
  #knownBefore(): readonly string[] {
    const { at, tables } = this.#selection;
    if (tables) return [];
    return this.#all.findLast(({ createdAt }) => createdAt < at)?.tables.map(({ id }) => id) ?? [];
  }

  #lost(snapshot: Snapshot): LeftOut[] {
    const before = this.#all.findLast(({ createdAt }) => createdAt < this.#selection.at);
    return this.#knownBefore()
      .filter((id) => id !== NAMESPACE_TABLE && !hasTable(snapshot, id))
      .map((table) => ({
        table,
        what: `the table: it was dropped before snapshot ${snapshot.id}; as of ${before?.createdAt.toISOString()} snapshot ${before?.id} has it.`,
      }));
  }

  #hasNothing({ content, without }: Coverage): boolean {
    const { tables } = this.#selection;
    const ids = content.snapshot.tables.map(({ id }) => id).filter((id) => id !== NAMESPACE_TABLE);
    return ids.filter((id) => tables?.includes(id) ?? true).every((id) => without.includes(id));
  }

  #nowhere(reference: string): ValidationError {
    const { at } = this.#selection;
    const newest = this.#all.at(-1);
    const later = this.#all.filter(({ createdAt }) => createdAt >= at);
    const why = !newest
      ? "there is none that can be read"
      : later.length === 0
        ? `the newest, ${newest.id}, was taken ${newest.createdAt.toISOString()}, and a snapshot does not tell what came after it`
        : "the histories of those that were taken since begin later";
    return new ValidationError(
      `No snapshot tells what the tables held at ${at.toISOString()} ("${reference}"): ${why}.`,
    );
  }
}

function isSurer(a: Coverage, b: Coverage): boolean {
  return a.without.length === b.without.length && a.unsure.length < b.unsure.length;
}

function hasTable({ tables }: Snapshot, id: string): boolean {
  return tables.some((table) => table.id === id);
}

/** @param known tables that it should have, besides those that it has. */
function coverageOf(
  content: SnapshotContent,
  { at, tables, versions = {} }: Selection & { readonly at: Date },
  known: readonly string[],
): Coverage {
  const without: string[] = [];
  const unsure: string[] = [];
  const there = content.snapshot.tables.filter(({ id }) => tables?.includes(id) ?? id !== NAMESPACE_TABLE);
  for (const table of there) {
    const asked = Object.hasOwn(versions, table.id) ? versions[table.id] : undefined;
    const state = asked === undefined ? stateAt(table, at) : hasVersion(table, asked) ? "known" : "lost";
    if (state === "lost") without.push(table.id);
    if (state === "unsure") unsure.push(table.id);
  }
  for (const id of known) if (id !== NAMESPACE_TABLE && !hasTable(content.snapshot, id)) without.push(id);
  return { content, without, unsure };
}

function hasVersion({ versions }: SnapshotTableDetails, asked: bigint | number): boolean {
  return versions.some(({ version }) => BigInt(version) === BigInt(asked));
}

/** `known`: also that it was not made yet, since its history is whole and begins later. */
function stateAt({ versions }: SnapshotTableDetails, at: Date): "known" | "unsure" | "lost" {
  const index = versions.findLastIndex(({ createdAt }) => createdAt !== undefined && createdAt <= at);
  if (index < 0) return versions[0]?.version === 1 ? "known" : "lost";
  const [version, next] = [versions[index], versions[index + 1]];
  return !version || !next || next.version === version.version + 1 ? "known" : "unsure";
}
