import { expect, test } from "vitest";
import { ValidationError } from "../../../src/errors.ts";
import { deleteRowsWithBackup } from "../../../src/guard/write/delete-rows.ts";
import { insertRecordsWithBackup } from "../../../src/guard/write/insert-records.ts";
import { errorOf, newPlace } from "./harness.ts";

// A caller's iterable may fail when it is told that no more is wanted. That is the second error, not the first.

/** Goes on for ever. */
function failingAtTheEnd(first: readonly unknown[], last: unknown): AsyncIterable<never> {
  return {
    [Symbol.asyncIterator]() {
      let at = 0;
      return {
        next: async () => ({ done: false, value: (at < first.length ? first[at++] : last) as never }),
        return: async () => {
          throw new Error("the cursor is gone");
        },
      };
    },
  };
}

test("the error of the rows wins over the iterable's own at its end, which is logged", async () => {
  const at = await newPlace();
  await at.db.createTable("t", [{ id: 1n }, { id: 2n }]);
  const options = { table: "t", strategy: "lance-version", manager: at.manager } as const;
  const warnings = () => at.logged.filter(({ level }) => level === "warn");

  const inserting = () =>
    insertRecordsWithBackup(failingAtTheEnd([{ id: "no number" }], { id: 4n }), options);
  expect(await errorOf(inserting)).toBeInstanceOf(ValidationError);
  expect(warnings()).toMatchObject([{ meta: { error: "the cursor is gone" } }]);

  const deleting = () => deleteRowsWithBackup(failingAtTheEnd([null], 2n), { ...options, key: "id" });
  expect(await errorOf(deleting)).toBeInstanceOf(ValidationError);
  expect(warnings()).toHaveLength(2);

  const nowhere = () => deleteRowsWithBackup(failingAtTheEnd([], 2n), { ...options, key: "nope" });
  expect(await errorOf(nowhere)).toBeInstanceOf(ValidationError);
  expect(await (await at.db.openTable("t")).countRows()).toBe(2);
});
