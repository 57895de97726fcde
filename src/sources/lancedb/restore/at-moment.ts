import type { ResolveOptions } from "../../../engine/catalog/catalog.ts";
import { LastTold } from "../../../engine/retention/falls.ts";
import { BackupError, ValidationError } from "../../../errors.ts";
import { NAMESPACE_TABLE } from "../../../lance/database.ts";
import type { Logger } from "../../../logger.ts";
import { liesInFuture } from "../../../util/clock.ts";
import type { LanceCatalog } from "../lance-catalog.ts";
import {
  type Snapshot,
  type SnapshotContent,
  type SnapshotTableDetails,
  tellingView,
} from "../snapshot-view.ts";
import type { LeftOut, Selection } from "./restore-options.ts";

/** A snapshot that has what tables held at a moment. */
export interface AtMoment {
  readonly content: SnapshotContent;
  /** Tables that a snapshot from before the moment has, and this one does not have as they were then. */
  readonly leftOut: readonly LeftOut[];
}

export interface MomentContext {
  readonly catalog: Pick<LanceCatalog, "content" | "candidates">;
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
  const search = new Search(context, selection, all, options);
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
  /** Those that may have the moment. */
  readonly #later: readonly Snapshot[];
  /** Ids of their tables. */
  readonly #laterTables: ReadonlySet<string>;
  /** Of each table that was there before the moment, the last snapshot from before it that has it. */
  readonly #before: ReadonlyMap<string, Snapshot>;
  readonly #options: ResolveOptions;

  constructor(
    context: MomentContext,
    selection: Selection & { readonly at: Date },
    all: readonly Snapshot[],
    options: ResolveOptions,
  ) {
    this.#context = context;
    this.#selection = selection;
    this.#all = all;
    const { at, tables = [] } = selection;
    this.#later = all.filter(
      (snapshot) => snapshot.createdAt >= at && tables.every((id) => hasTable(snapshot, id)),
    );
    this.#laterTables = new Set(this.#later.flatMap((snapshot) => snapshot.tables.map(({ id }) => id)));
    const told = new LastTold<ReturnType<typeof tellingView>>();
    for (const snapshot of all.toReversed()) if (snapshot.createdAt < at) told.add(tellingView(snapshot));
    this.#before = told.there;
    this.#options = options;
  }

  async best(reference: string): Promise<AtMoment> {
    const found = await this.#best();
    if (!found || this.#hasNothing(found)) throw this.#nowhere(reference);
    return this.#taken(found);
  }

  #taken({ content, unsure }: Coverage): AtMoment {
    if (unsure.length > 0) {
      this.#context.logger.warn("versions are missing after the one that is taken for the moment", {
        snapshot: content.snapshot.id,
        tables: unsure,
      });
    }
    return { content, leftOut: this.#lost(content.snapshot) };
  }

  async mustHave(id: string): Promise<AtMoment> {
    const { at } = this.#selection;
    const content = await this.#context.catalog.content(id, this.#options.signal, this.#options);
    const { createdAt } = content.snapshot;
    const isBefore = createdAt < at;
    const own = this.#coverageOf(content);
    if (!isBefore && own.without.length === 0 && own.unsure.length === 0) return this.#taken(own);
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
    return this.#taken(own);
  }

  /** The earliest with the least that is missing; undefined where none was taken at the moment or later. */
  async #best(): Promise<Coverage | undefined> {
    let best: Coverage | undefined;
    let damage: unknown;
    for (const { id } of this.#later) {
      let content: SnapshotContent;
      try {
        content = await this.#context.catalog.content(id, this.#options.signal, this.#options);
      } catch (error) {
        if (!(error instanceof BackupError)) throw error;
        damage ??= error;
        this.#context.logger.warn("a snapshot cannot be read and is passed over", {
          snapshot: id,
          reason: error.message,
        });
        continue;
      }
      const found = this.#coverageOf(content);
      if (found.without.length === 0 && found.unsure.length === 0) return found;
      if (!best || found.without.length < best.without.length || isSurer(found, best)) best = found;
    }
    if (!best && damage !== undefined) throw damage;
    return best;
  }

  /** One without a table that was there before, and that another from later has, lacks something. */
  #coverageOf(content: SnapshotContent): Coverage {
    const { snapshot } = content;
    const missing = this.#selection.tables
      ? []
      : [...this.#before.keys()].filter((id) => !hasTable(snapshot, id) && this.#laterTables.has(id));
    const states = snapshot.tables
      .filter(({ id }) => this.#isMeant(id))
      .map((table) => ({ id: table.id, state: this.#stateOf(table) }));
    const idsOf = (wanted: State) => states.filter(({ state }) => state === wanted).map(({ id }) => id);
    return { content, without: [...idsOf("lost"), ...missing], unsure: idsOf("unsure") };
  }

  #isMeant(id: string): boolean {
    return this.#selection.tables?.includes(id) ?? id !== NAMESPACE_TABLE;
  }

  #stateOf(table: SnapshotTableDetails): State {
    const { at, versions = {} } = this.#selection;
    const asked = Object.hasOwn(versions, table.id) ? versions[table.id] : undefined;
    if (asked === undefined) return stateAt(table, at, this.#before.has(table.id));
    return hasVersion(table, asked) ? "known" : "lost";
  }

  #lost({ id: taken, tables }: SnapshotContent["snapshot"]): LeftOut[] {
    return [...this.#before].flatMap(([id, before]) => {
      const table = tables.find((one) => one.id === id);
      if (!this.#isMeant(id) || (table && this.#stateOf(table) !== "lost")) return [];
      const why = table ? `snapshot ${taken} has nothing that old of it` : `it is not in snapshot ${taken}`;
      const what = `the table: ${why}; as of ${before.createdAt.toISOString()} snapshot ${before.id} has it.`;
      return [{ table: id, what }];
    });
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
    const before = this.#all.findLast(({ createdAt }) => createdAt < at);
    const last = before ? `; the last from before is ${before.id}, of ${before.createdAt.toISOString()}` : "";
    const why = !newest
      ? "there is none that can be read"
      : later.length === 0
        ? `the newest, ${newest.id}, was taken ${newest.createdAt.toISOString()}, and a snapshot does not tell what came after it`
        : `the histories of those that were taken since begin later${last}`;
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

type State = "known" | "unsure" | "lost";

function hasVersion({ versions }: SnapshotTableDetails, asked: bigint | number): boolean {
  return versions.some(({ version }) => BigInt(version) === BigInt(asked));
}

/**
 * `known`: also that it was not made yet, since its history is whole and begins later. One that was there before is another
 * then, which was dropped.
 */
function stateAt({ versions }: SnapshotTableDetails, at: Date, wasThere: boolean): State {
  const index = versions.findLastIndex(({ createdAt }) => createdAt !== undefined && createdAt <= at);
  if (index < 0) return versions[0]?.version === 1 && !wasThere ? "known" : "lost";
  const [version, next] = [versions[index], versions[index + 1]];
  return !version || !next || next.version === version.version + 1 ? "known" : "unsure";
}
