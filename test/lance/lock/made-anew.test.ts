import { expect, test } from "vitest";
import { newOwner } from "../../../src/lance/lock/lock-owner.ts";
import { TableLock } from "../../../src/lance/lock/table-lock.ts";
import { newDirectory } from "../../support/database.ts";

test("a lock that is made anew begins above all epochs of the one before", async () => {
  const database = await newDirectory();
  const owner = newOwner();
  let highest = 0;
  for (let round = 0; round < 50; round++) {
    const lock = new TableLock(database, "t");
    const attempt = await lock.attempt(owner, false);
    if (!attempt?.taken) throw new Error("the lock was not had");
    expect(attempt.epoch).toBeGreaterThan(highest);
    highest = attempt.epoch;
    if (lock.isPast(attempt.epoch)) await lock.retire();
    lock.release(attempt.epoch, owner);
  }
});
