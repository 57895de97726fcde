// Writes objects into a local storage, again and again, as several programs at once do. Prints a line for each
// object of `new/` that it was told it made.
//
//   node writer.ts '{"directory":…,"until":…,"seed":1,"rounds":50}'
//   node --import ./without-links.ts writer.ts …
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { Random } from "../concurrency/random.ts";

export interface WriterTask {
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly until: number;
  readonly seed: number;
  /** How many names there are. */
  readonly rounds: number;
}

const task = JSON.parse(process.argv[2] ?? "{}") as WriterTask;
const random = new Random(task.seed);
const storage = new LocalStorage(task.directory);
/** 200 kB that tell who wrote them, and end as they begin. */
const content = Buffer.from(`${process.pid}.${task.seed}|`.repeat(20_000));

const pieces = async function* () {
  for (let start = 0; start < content.length; start += 30_000) yield content.subarray(start, start + 30_000);
};

for (let round = 0; round < task.rounds && Date.now() < task.until; round++) {
  if (await storage.writeNew(`new/${round}`, pieces()))
    process.stdout.write(`new/${round} ${process.pid}.${task.seed}\n`);
  if (random.chance(0.3)) await storage.write(`same/${random.below(3)}`, pieces());
}
process.stdout.write("end\n");
