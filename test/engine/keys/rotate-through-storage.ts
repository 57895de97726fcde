import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { silent } from "../../crash/silent.ts";
import { remote } from "../../repository/verify-run.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { key } from "./encrypted-place.ts";

/** Rotates the keys, and encrypts everything anew. */
export async function rotate(storage: Storage): Promise<void> {
  const repository = await Repository.open(storage, {
    logger: silent,
    keys: [key()],
    cache: false,
    audit: "off",
  });
  await repository.keys.rotate({ rewrite: true });
}

// As a program: killed at the call of this number.
const [program, location, at] = process.argv.slice(1);
if (program === import.meta.filename && location) {
  const inner = remote(new LocalStorage(location));
  await rotate(new FaultyStorage(inner, ({ number }) => (number === Number(at) ? "die" : undefined)));
}
