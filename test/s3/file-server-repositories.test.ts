import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository, registerStorage } from "lancedb-backup/repository";
import { describe, expect, onTestFinished, test } from "vitest";
import { FtpStorage } from "../../examples/storages/ftp-storage.ts";
import { SftpStorage } from "../../examples/storages/sftp-storage.ts";
import { WebdavStorage } from "../../examples/storages/webdav-storage.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { PASSWORD, useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

describe.each([
  ["ftp", FtpStorage],
  ["sftp", SftpStorage],
  ["webdav", WebdavStorage],
] as const)("%s", (kind, Storage) => {
  const missing = whyNoFileServer(kind);
  if (missing !== undefined) test.skip(`a repository on a server of files (${missing})`, () => undefined);

  describe.skipIf(missing !== undefined)("a repository on a server of files", () => {
    const server = useFileServer(kind);

    test("is made, filled, listed, verified, restored and pruned", async () => {
      registerStorage(kind, (address) => new Storage(address));
      const directory = await newDirectory();
      const uri = join(directory, "db");
      const db = await connect(uri);
      onTestFinished(() => db.close());
      const table = await makeSampleTable(db, "main");
      const { logger } = recordingLogger();
      const address = server.address();
      const repository = await Repository.init(address, { logger });
      await repository.backup({ source: uri, name: "first" });
      const before = await snapshotOf(db);
      await table.add(sampleRows(100, 20));
      await repository.backup({ source: uri });
      const reopened = await Repository.open(address, { logger });
      expect(await reopened.list()).toHaveLength(2);
      expect((await reopened.verify()).filter(({ ok }) => !ok)).toEqual([]);
      const target = join(directory, "back");
      await reopened.restore("first", { target });
      const restored = await connect(target);
      expect(await snapshotOf(restored)).toEqual(before);
      restored.close();
      await reopened.prune({ keepLast: 1, graceHours: 0 });
      expect(await reopened.list()).toHaveLength(1);
      expect((await reopened.verify()).filter(({ ok }) => !ok)).toEqual([]);
    });

    test("a password in an address is refused, and not shown", () => {
      const address = server.address().replace("@", `:${PASSWORD}@`);
      expect(() => new Storage(address)).toThrow(/does not belong in an address/);
      expect(() => new Storage(address)).not.toThrow(PASSWORD);
    });
  });
});
