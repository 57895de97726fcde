import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { rawKey } from "../../../src/engine/keys/raw-key.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { makeSampleTable } from "../../support/sample.ts";

export const key = (byte = 7) => rawKey(Buffer.alloc(32, byte));

/** A database of two tables, and an empty encrypted repository. @param through what its storage is seen through. */
export async function newEncrypted(
  options: object = {},
  through: (storage: LocalStorage) => Storage = (storage) => storage,
) {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 3000 });
  const storage = through(new LocalStorage(location));
  const encryption = { keys: [key()] };
  const repository = await Repository.init(storage, { logger: silent, encryption, cache: false, ...options });
  const open = (keys = [key()]) => Repository.open(storage, { logger: silent, cache: false, keys });
  return { directory, uri, location, db, repository, storage, open };
}
