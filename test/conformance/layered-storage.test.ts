import { join } from "node:path";
import { ConnectedStorage } from "../../src/storage/layers/connected-storage.ts";
import { RateLimitedStorage } from "../../src/storage/layers/rate-limited-storage.ts";
import { RetryPolicy } from "../../src/storage/layers/retry-policy.ts";
import { RetryingStorage } from "../../src/storage/layers/retrying-storage.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { FlakyStorage } from "../storage/layers/flaky-storage.ts";
import { newDirectory } from "../support/database.ts";
import { describeStorage } from "./storage-suite.ts";

const RATES = { limitUpload: 1e9, limitDownload: 1e9, limitRequests: 1e6 };

const newStorage = async () => new LocalStorage(join(await newDirectory(), "a/b"));

describeStorage(
  "a storage with rates and calls made again",
  async () => new RetryingStorage(new RateLimitedStorage(await newStorage(), RATES), new RetryPolicy({})),
);

describeStorage(
  "a storage that bears two calls at once",
  async () => new ConnectedStorage(await newStorage(), 2),
);

let calls = 0;
describeStorage("a storage of which every tenth call fails, half of them when it is done", async () => {
  const flaky = new FlakyStorage(await newStorage(), ({ method }) => {
    if (++calls % 10 > 0 || method === "read") return undefined; // a faulty read comes byte by byte
    return method === "list" || calls % 20 === 0 ? "fail" : "lose";
  });
  return new RetryingStorage(flaky, new RetryPolicy({ attempts: 20 }));
});
