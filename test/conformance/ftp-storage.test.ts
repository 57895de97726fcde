import { describe, test, vi } from "vitest";
import { FtpStorage } from "../../examples/storages/ftp-storage.ts";
import { useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { describeStorage } from "./storage-suite.ts";

// The errors that the suite knows are those of the sources.
vi.mock("lancedb-backup/repository", () => import("../../src/repository/index.ts"));

const missing = whyNoFileServer("ftp");
if (missing !== undefined) test.skip(`FtpStorage (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("FtpStorage", () => {
  const server = useFileServer("ftp");
  describeStorage("on vsftpd", async () => new FtpStorage(server.address()));
});
