import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whileAway } from "./away.ts";
import { copyPlace, makePlace, operations, placeAt, type Root } from "./away-operations.ts";
import { recordFigures } from "./figures.ts";
import { nightly, spread } from "./workshop.ts";

/** Absences of one root in one operation; one at every call in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 2;

/** For how many calls a root is away, turn about: one look finds nothing; several; until the operation has ended. */
const LENGTHS = [1, 7, Number.POSITIVE_INFINITY];

const room = mkdtempSync(join(tmpdir(), "lancedb-backup-away-"));
const fixture = placeAt(join(room, "fixture"));
beforeAll(() => makePlace(fixture));
afterAll(() => rmSync(room, { recursive: true, force: true }));

let count = 0;
const cases = Object.entries(operations).flatMap(([operation, { roots }]) =>
  roots.map((root) => ({ operation, root })),
);

describe("a root renamed away and back: success with all of it there, or an error", () => {
  test.for(cases)("$root, in $operation", async ({ operation: name, root }) => {
    const operation = operations[name]!;
    const start = placeAt(join(room, `start-${++count}`));
    copyPlace(fixture, start);
    if (!operation.preparedEachTime) await operation.prepare?.(start);
    const line = { calls: 0, absences: 0, successes: 0, errors: 0, "made again": 0, wrong: 0 };
    const problems: string[] = [];
    const runAt = async (at: number, calls: number): Promise<boolean> => {
      const place = start;
      rmSync(place.root, { recursive: true, force: true });
      copyPlace(kept, place);
      if (operation.preparedEachTime) await operation.prepare?.(place);
      const { result, counted, hit, made } = await whileAway({ root: place[root as Root], at, calls }, () =>
        operation.run(place),
      );
      const ok = result.status === "fulfilled";
      const wrong = await operation
        .check(place, ok, ok ? result.value : undefined)
        .catch((error: unknown) => [`afterwards: ${error instanceof Error ? error.message : String(error)}`]);
      // What is missing before the first look at it is made: what is around a target, and a guard's backup directory.
      if (made && ok && root !== "targets" && !(root === "guard" && made.length === 0))
        wrong.push(`made again, with ${made}`);
      if (made) line["made again"]++;
      if (at === 0) line.calls = counted;
      else if (hit !== undefined) {
        line.absences++;
        if (ok) line.successes++;
        else line.errors++;
      }
      if (wrong.length > 0) {
        line.wrong++;
        const outcome = ok ? "success" : `${result.reason}`;
        problems.push(`away at ${at} for ${calls}, ${hit} (${outcome}): ${wrong.join("; ")}`);
      }
      return hit !== undefined;
    };
    // Under the same path each time: pins and journals know directories by their paths.
    const kept = placeAt(`${start.root}.kept`);
    copyPlace(start, kept);
    await runAt(0, 0);
    expect(problems).toEqual([]);
    const turn = cases.findIndex((one) => one.operation === name && one.root === root);
    for (const [index, at] of spread(line.calls - 1, SAMPLE).entries()) {
      await runAt(at + 1, LENGTHS[(nightly ? at : index + turn) % LENGTHS.length]!);
    }
    recordFigures("Renamed away", [{ operation: name, root, ...line }], `${name} ${root}`);
    rmSync(kept.root, { recursive: true });
    rmSync(start.root, { recursive: true, force: true });
    expect(problems).toEqual([]);
    expect(existsSync(start.root)).toBe(false);
  });
});
