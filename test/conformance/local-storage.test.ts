import { join } from "node:path";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { otherFileSystem } from "../support/other-file-system.ts";
import { describeStorage } from "./storage-suite.ts";

describeStorage("LocalStorage on a disk", async () => new LocalStorage(join(await newDirectory(), "a/b/c")));

describeStorage(
  "LocalStorage in memory",
  async () => new LocalStorage((await otherFileSystem()) ?? (await newDirectory())),
);
