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

/**
 * A write whose result names no version: the newest commit of its kind up to the handle's own version is
 * ours; all of them where it can make several.
 */
export function commitOnHandle<R>(
  operation: Operation,
  table: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  run: () => Promise<R>,
  several = false,
): Promise<R> {
  let above = 0;
  return operation.write({
    table,
    intent: async () => {
      await view.refresh();
      above = await operation.headOf(table);
      return { step: "commit", table, kinds, above, several };
    },
    run,
    failsWhole: !several,
    outcome: async () => ({
      versions: await madeSince(operation, table, above, await view.table.version(), kinds, several),
    }),
  });
}

/**
 * The commits of the announced kinds up to the handle's own version. The handle may have moved on to
 * somebody else's commit, which is then not of these kinds.
 */
async function madeSince(
  operation: Operation,
  table: string,
  above: number,
  newest: number,
  kinds: readonly CommitKind[],
  several: boolean,
): Promise<number[]> {
  const directory = await operation.directoryOf(table);
  if (newest <= above || !directory) return [];
  const dataset = join(operation.database, directory);
  const fresh = (await listManifests(dataset)).filter(
    (name) => name.version > above && name.version <= newest,
  );
  const ours = fresh.filter((name) => {
    const kind = commitKindOf(dataset, name);
    return kind !== undefined && kinds.includes(kind);
  });
  return (several ? ours : ours.slice(0, 1)).map((name) => name.version);
}
