import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One line of a table in docs/reliability.md. */
export type Figures = Readonly<Record<string, string | number>>;

/**
 * Hands the figures of a test to `npm run reliability`, which names a directory for them; nothing otherwise.
 *
 * @param table the heading under which the lines stand
 * @param part tells this test's lines from those of others under the same heading
 */
export function recordFigures(table: string, lines: readonly Figures[], part = ""): void {
  const directory = process.env["RELIABILITY_FIGURES"];
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  const name = `${`${table} ${part}`.replaceAll(/\W+/g, "-")}.json`;
  writeFileSync(join(directory, name), JSON.stringify({ table, commit: commit(), lines }, null, 2));
}

/** Of the sources that ran; `unknown` outside of a clone. */
function commit(): string {
  const { status, stdout } = spawnSync("git", ["rev-parse", "--short=7", "HEAD"], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : "unknown";
}
