// A program that writes without pause to the table `main` of the database named by its first argument, with
// plain LanceDB: it adds batches of ten rows that share a number, deletes whole batches, compacts, and cleans
// up everything old. So in every version each batch is there in full or not at all. Says "writing" when it has
// begun, and ends when it is told to, with the number of commits.
import { connect } from "@lancedb/lancedb";

const BATCH = 10;

const db = await connect(process.argv[2] ?? "");
let table = await db.openTable("main");
let stop = false;
process.on("message", () => {
  stop = true;
});
process.once("disconnect", () => {
  stop = true; // whoever started it has died
});
let commits = 0;
for (let batch = 1000; !stop; batch++) {
  try {
    await write(batch);
  } catch (error) {
    // The table was restored meanwhile: LanceDB says so, and a program starts afresh.
    if (!/conflict|Incompatible transaction|Not found|not found/i.test(String(error))) throw error;
    table = await db.openTable("main");
  }
  if (batch === 1010) process.send?.("writing");
}
async function write(batch: number): Promise<void> {
  await table.add(
    Array.from({ length: BATCH }, (_, row) => ({ batch, row, text: `row ${row} of ${batch}` })),
  );
  commits++;
  if (batch % 3 === 0) await table.delete(`batch = ${batch - 2}`);
  if (batch % 7 !== 0) return;
  await table.delete(`batch < ${batch - 20}`);
  await table.optimize({ cleanupOlderThan: new Date() });
}
process.send?.(commits);
process.disconnect?.();
