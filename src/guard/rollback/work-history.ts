import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CommitKind } from "../../lance/commit-kind.ts";
import type { CommitMark } from "../../lance/commit-mark.ts";
import { privateDirectory } from "../../lance/private-directory.ts";
import type { LoggedIntent, Outcome } from "../journal/intent-log.ts";

/** A commit that was announced, and of which nobody knows what came: its process died. */
interface OpenCommit {
  readonly kinds: readonly CommitKind[];
  readonly above: number;
  readonly several: boolean;
  readonly mark?: CommitMark | undefined;
  /** Whichever commit of these kinds up to this version nobody else reports. */
  readonly upTo?: number | undefined;
}

/** One life of a table, from its creation to its drop. */
export interface Incarnation {
  /** Versions that the guarded work committed. */
  readonly ours: Map<number, string | undefined>;
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
        addOurs(current, outcome);
        break;
      case "create":
        if (!outcome) current.creating = intent.existing;
        if (outcome?.failed) current.notCreated = intent.existing;
        if (outcome?.directory) current.directory = outcome.directory;
        addOurs(current, outcome);
        break;
      case "drop":
        // The rename is the drop; whether it happened is on the disk, not in the log.
        if (existsSync(join(asideRoot, intent.aside))) {
          current.aside = join(asideRoot, intent.aside);
          history.incarnations.push(newIncarnation());
        }
        break;
      case "stub":
        break; // it is on the disk where it was moved to
      case "namespace":
        break; // its entry alone tells what is to be done
      case "tag":
        // One that LanceDB refused is somebody else's still, or no name at all.
        if (!outcome?.failed && isTagName(intent.tag)) history.tags.add(intent.tag);
        break;
    }
  }
  return histories;
}

/** The namespaces that guarded work made or dropped, or was about to when its process died. */
export function namespacesOf(log: readonly LoggedIntent[]): Set<string> {
  const done = log.filter(({ outcome }) => !outcome?.failed);
  return new Set(done.flatMap(({ intent }) => (intent.step === "namespace" ? intent.namespace : [])));
}

/** Its file is one of the tags' directory, or below. */
function isTagName(tag: unknown): boolean {
  return typeof tag === "string" && !/(^|[/\\])\.\.?([/\\]|$)/.test(tag);
}

function addOurs({ ours }: Incarnation, outcome: Outcome | undefined): void {
  for (const [index, version] of (outcome?.versions ?? []).entries()) {
    ours.set(version, outcome?.digests?.[index]);
  }
}

function newIncarnation(): Incarnation {
  return { ours: new Map(), open: [] };
}
