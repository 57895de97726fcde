import { describe, test, vi } from "vitest";
import { SftpStorage } from "../../examples/storages/sftp-storage.ts";
import { useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { describeStorage } from "./storage-suite.ts";

// The errors that the suite knows are those of the sources.
vi.mock("lancedb-backup/repository", () => import("../../src/repository/index.ts"));

const missing = whyNoFileServer("sftp");
if (missing !== undefined) test.skip(`SftpStorage (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("SftpStorage", () => {
  const server = useFileServer("sftp");
  describeStorage("on OpenSSH", async () => new SftpStorage(server.address()));
});
