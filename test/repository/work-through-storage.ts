import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { silent } from "../crash/silent.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { remote } from "./verify-run.ts";

export const OPERATIONS = ["backup", "restore", "prune", "verify", "delete"] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Work {
  readonly operation: Operation;
  readonly uri: string;
  readonly target: string;
}

/** One operation on a repository, through any storage. */
export async function work(storage: Storage, { operation, uri, target }: Work): Promise<void> {
  const repository = await Repository.open(storage, { logger: silent });
  if (operation === "backup") await repository.backup({ source: uri, name: "third" });
  else if (operation === "restore") await repository.restore("second", { target });
  else if (operation === "prune") await repository.prune({ keepLast: 1, keepTags: ["kept"], graceHours: 0 });
  else if (operation === "delete") await repository.delete("first");
  else {
    const bad = (await repository.verify()).filter(({ ok }) => !ok);
    if (bad.length > 0) throw bad[0]?.error ?? new Error(`damage where there is none: ${bad[0]?.details}`);
  }
}

// As a program: killed at the call of this number.
const [program, operation, location, uri, target, at] = process.argv.slice(1);
if (program === import.meta.filename && operation && location && uri && target) {
  const inner = remote(new LocalStorage(location));
  const storage = new FaultyStorage(inner, ({ number }) => (number === Number(at) ? "die" : undefined));
  await work(storage, { operation: operation as Operation, uri, target });
  process.stdout.write(`${storage.calls.length}\n`);
}
