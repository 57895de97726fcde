import { join } from "node:path";
import { type CommitKind, commitKindOf } from "../../lance/commit-kind.ts";
import type { CommitMark } from "../../lance/commit-mark.ts";
import { listManifests } from "../../lance/image.ts";
import type { Operation } from "../operation.ts";
import type { HandleView } from "./handle-view.ts";

/** A write to a table whose result names the version that it committed. */
export function commitWithVersion<R extends { version: number }>(
  operation: Operation,
  table: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  run: () => Promise<R>,
  mark?: CommitMark,
): Promise<R> {
  return operation.write({
    table,
    intent: async () => {
      await view.refresh();
      return { step: "commit", table, kinds, above: await operation.headOf(table), several: false, mark };
    },
    run,
    outcome: (result) => ({ versions: [result.version] }),
  });
}

/** Commits that move rows and change none: whoever made them, going back behind them loses nothing. */
const MOVES: readonly CommitKind[] = ["reserveFragments", "rewrite"];

/**
 * A write whose result names no version. `one`: the newest commit of its kind up to the handle's own version is
 * ours. `all`: all of them, but of an index the handle's own version alone, since others may have made theirs
 * meanwhile. Where it fails, what others cannot lose is ours and nothing else: a commit that came of it all the
 * same is then taken for somebody else's, and reported.
 */
export function commitOnHandle<R>(
  operation: Operation,
  table: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  run: () => Promise<R>,
  makes: "one" | "all" = "one",
): Promise<R> {
  let above = 0;
  return operation.write({
    table,
    intent: async () => {
      await view.refresh();
      above = await operation.headOf(table);
      return { step: "commit", table, kinds, above, several: makes === "all" };
    },
    run,
    failure: async () => {
      const moves = kinds.filter((kind) => MOVES.includes(kind));
      if (moves.length === 0) return { versions: [] };
      const made = await madeSince(operation, table, above, await operation.headOf(table));
      return { versions: made.filter(({ kind }) => moves.includes(kind)).map(versionOf) };
    },
    outcome: async () => {
      const own = await view.table.version();
      const made = await madeSince(operation, table, above, own);
      const fitting = made.filter(({ kind }) => kinds.includes(kind));
      const ours =
        makes === "one"
          ? fitting.slice(0, 1)
          : fitting.filter(({ kind, version }) => kind !== "createIndex" || version === own);
      return { versions: ours.map(versionOf) };
    },
  });
}

interface Made {
  readonly version: number;
  readonly kind: CommitKind;
}

const versionOf = ({ version }: Made): number => version;

/** The commits in a stretch of versions, newest first. */
async function madeSince(
  operation: Operation,
  table: string,
  above: number,
  newest: number,
): Promise<Made[]> {
  const directory = await operation.directoryOf(table);
  if (newest <= above || !directory) return [];
  const dataset = join(operation.database, directory);
  const fresh = (await listManifests(dataset)).filter(({ version }) => version > above && version <= newest);
  return fresh.flatMap((name) => {
    const kind = commitKindOf(dataset, name);
    return kind === undefined ? [] : { version: name.version, kind };
  });
}
