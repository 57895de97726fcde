import { relative } from "node:path";
import type { Table } from "@lancedb/lancedb";
import type { Disaster } from "./disasters.ts";
import { type Look, lookAt, openWords, type Place } from "./words-table.ts";

interface Line {
  readonly title: string;
  readonly whole: boolean;
  readonly rows: number;
  readonly version: string;
  readonly ms: number;
}

/** Tells what happens, and keeps count of whether it went as it should. */
export class Story {
  readonly #lines: Line[] = [];
  #before: Look | undefined;

  async introduce(place: Place, table: Table): Promise<void> {
    const look = await lookAt(table);
    this.#before = look;
    say(
      `A LanceDB table of ${look.rows.toLocaleString("en")} words with 100-dimension vectors, at ${relative(process.cwd(), place.uri)}.`,
    );
    for (const [word, nearest] of look.nearest) say(`  nearest to ${word}: ${nearest.join(", ")}`);
    say("");
  }

  async tell(disaster: Disaster, place: Place): Promise<void> {
    const before = this.#before;
    if (!before) throw new Error("The story has no beginning.");
    const ms = await disaster.run(place);
    const after = await lookAt(await openWords(place));
    const wrong = differences(before, after);
    say(`${this.#lines.length + 1}. ${disaster.title}`);
    say(`   ${disaster.how}`);
    say(wrong.length === 0 ? `   whole again in ${ms.toFixed(0)} ms` : `   NOT WHOLE: ${wrong.join("; ")}`);
    const version = `${before.version} -> ${after.version}`;
    this.#lines.push({ title: disaster.title, whole: wrong.length === 0, rows: after.rows, version, ms });
    this.#before = { ...before, version: after.version };
  }

  /** Prints the table; tells whether all is well. */
  end(): boolean {
    const width = Math.max(...this.#lines.map((line) => line.title.length));
    say("");
    say(`${"what happened".padEnd(width)}  rows   version        ms  nearest words`);
    for (const { title, rows, version, ms, whole } of this.#lines) {
      const verdict = whole ? "as before" : "WRONG";
      say(`${title.padEnd(width)}  ${rows}   ${version.padEnd(10)} ${ms.toFixed(0).padStart(6)}  ${verdict}`);
    }
    const whole = this.#lines.every((line) => line.whole);
    say("");
    say(whole ? "Every time the table came back whole." : "Something is not as it should be.");
    return whole;
  }
}

function differences(before: Look, after: Look): string[] {
  const wrong: string[] = [];
  if (after.rows !== before.rows) wrong.push(`${after.rows} rows where there were ${before.rows}`);
  if (after.version < before.version) wrong.push(`version ${after.version} after ${before.version}`);
  if (after.found !== before.found) wrong.push(`full-text search finds ${after.found}, not ${before.found}`);
  for (const [word, nearest] of before.nearest) {
    const now = after.nearest.get(word) ?? [];
    if (now.join() !== nearest.join()) wrong.push(`nearest to ${word}: ${now.join(", ")}`);
  }
  return wrong;
}

function say(line: string): void {
  console.log(line);
}
