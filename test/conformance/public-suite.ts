// Runs the suite as a user does, under node:test: `STORAGE=ReadsHalf node --test test/conformance/public-suite.ts`.
import { test } from "node:test";
import { testStorage } from "lancedb-backup/storage-conformance";
import { ListsOnePage, LooksBeforeItWrites, MemoryStorage, ReadsHalf } from "./memory-storage.ts";

const storages = { MemoryStorage, LooksBeforeItWrites, ListsOnePage, ReadsHalf };
const Chosen = storages[process.env["STORAGE"] as keyof typeof storages];
testStorage(() => new Chosen(), test);
