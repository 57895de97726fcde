import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CommitKind } from "../../lance/commit-kind.ts";
import { privateDirectory } from "../../lance/private-directory.ts";
import type { LoggedIntent } from "../journal/log.ts";

/** A commit that was announced, and of which nobody knows what came: its process died. */
interface OpenCommit {
  readonly kinds: readonly CommitKind[];
  readonly above: number;
  readonly several: boolean;
}

/** One life of a table, from its creation to its drop. */
export interface Incarnation {
  /** Versions that the guarded work committed. */
  readonly ours: Set<number>;
  readonly open: OpenCommit[];
  /** Where it was created by the guarded work. */
  directory?: string | undefined;
  /** The creation was announced and never reported: these directories were there before. */
  creating?: readonly string[] | undefined;
  /** The creation failed, and may have left a directory without a version; these were there before. */
  notCreated?: readonly string[] | undefined;
  /** Where it lies since the guarded work dropped it, absolute. */
  aside?: string | undefined;
}

/** What guarded work did to one table, from its log. The last incarnation is the one that is there now. */
export interface TableHistory {
  readonly incarnations: readonly Incarnation[];
  readonly tags: ReadonlySet<string>;
}

export function currentOf(history: TableHistory | undefined): Incarnation {
  return history?.incarnations.at(-1) ?? newIncarnation();
}

/** Folds a log into what happened to each table. */
export function foldLog(database: string, log: readonly LoggedIntent[]): Map<string, TableHistory> {
  const histories = new Map<string, { incarnations: Incarnation[]; tags: Set<string> }>();
  const asideRoot = privateDirectory(database, "aside");
  for (const { intent, outcome } of log) {
    let history = histories.get(intent.table);
    if (!history) {
      history = { incarnations: [newIncarnation()], tags: new Set() };
      histories.set(intent.table, history);
    }
    const current = history.incarnations.at(-1) ?? newIncarnation();
    switch (intent.step) {
      case "commit":
        if (!outcome) current.open.push(intent);
        for (const version of outcome?.versions ?? []) current.ours.add(version);
        break;
      case "create":
        if (!outcome) current.creating = intent.existing;
        if (outcome?.failed) current.notCreated = intent.existing;
        if (outcome?.directory) current.directory = outcome.directory;
        for (const version of outcome?.versions ?? []) current.ours.add(version);
        break;
      case "drop":
        // The rename is the drop; whether it happened is on the disk, not in the log.
        if (existsSync(join(asideRoot, intent.aside))) {
          current.aside = join(asideRoot, intent.aside);
          history.incarnations.push(newIncarnation());
        }
        break;
      case "tag":
        history.tags.add(intent.tag);
        break;
    }
  }
  return histories;
}

function newIncarnation(): Incarnation {
  return { ours: new Set(), open: [] };
}
