import { describe, test, vi } from "vitest";
import { WebdavStorage } from "../../examples/storages/webdav-storage.ts";
import { useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { describeStorage } from "./storage-suite.ts";

// The errors that the suite knows are those of the sources.
vi.mock("lancedb-backup/repository", () => import("../../src/repository/index.ts"));

const missing = whyNoFileServer("webdav");
if (missing !== undefined) test.skip(`WebdavStorage (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("WebdavStorage", () => {
  const server = useFileServer("webdav");
  describeStorage("on Apache", async () => new WebdavStorage(server.address()));
});
