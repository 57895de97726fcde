import type { CommitKind } from "../lance/commit-kind.ts";
import type { Intent, Outcome } from "./journal/intent-log.ts";

type Commit = Intent & { readonly step: "commit" };

/**
 * The commits that the writes of one operation have reported. Of several writes at once on one handle LanceDB
 * answers some with the version of another (docs/lance-facts.md): two then report the same commit, and nobody
 * another one.
 */
export class ReportedCommits {
  readonly #seen = new Set<string>();
  readonly #tables = new Map<string, { readonly kinds: Set<CommitKind>; readonly above: number }>();

  /** Notes what a write will commit, before it does. */
  announced({ table, kinds, above }: Commit): void {
    const known = this.#tables.get(table) ?? { kinds: new Set(), above };
    for (const kind of kinds) known.kinds.add(kind);
    this.#tables.set(table, known);
  }

  /** Notes what a write reports. Answers whether another write has reported it, too. */
  isTwin({ table, above, several }: Commit, { versions, digests = [] }: Outcome): boolean {
    if (several) return false;
    let isTwin = false;
    for (const [index, version] of versions.entries()) {
      if (version <= above) continue; // it had nothing to commit
      const commit = JSON.stringify([table, version, digests[index]]);
      isTwin ||= this.#seen.has(commit);
      this.#seen.add(commit);
    }
    return isTwin;
  }

  /** The intent of the commit that nobody reports; it is on the disk already. */
  unreported({ table }: Commit, newest: number): Commit {
    const { kinds = [], above = 0 } = this.#tables.get(table) ?? {};
    return { step: "commit", table, kinds: [...kinds], above, upTo: newest, several: false };
  }
}
