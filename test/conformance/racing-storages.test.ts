import { describe, expect, test } from "vitest";
import { FtpStorage } from "../../examples/storages/ftp-storage.ts";
import { SftpStorage } from "../../examples/storages/sftp-storage.ts";
import { WebdavStorage } from "../../examples/storages/webdav-storage.ts";
import { useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { readAll } from "../support/pieces.ts";

const CLIENTS = 20;
const ROUNDS = process.env["NIGHTLY"] === "1" ? 1000 : 30;

describe.each([
  ["ftp", FtpStorage],
  ["sftp", SftpStorage],
  ["webdav", WebdavStorage],
] as const)("%s", (kind, Storage) => {
  const missing = whyNoFileServer(kind);
  if (missing !== undefined) test.skip(`a race of clients (${missing})`, () => undefined);

  describe.skipIf(missing !== undefined)("a race of clients", () => {
    const server = useFileServer(kind);

    test(`of ${CLIENTS} clients with connections of their own, one alone makes each object`, async () => {
      const address = server.address();
      const clients = Array.from({ length: CLIENTS }, () => new Storage(address));
      await Promise.all(clients.map((client, index) => client.write(`warm/${index}`, Buffer.from("x"))));
      for (let round = 0; round < ROUNDS; round++) {
        const name = `race/${round}`;
        const won = await Promise.all(
          clients.map((client, index) => client.writeNew(name, Buffer.from(`of ${index}`))),
        );
        const winners = won.flatMap((isMine, index) => (isMine ? [index] : []));
        expect(winners).toHaveLength(1);
        expect((await readAll(clients[0]!, name)).toString()).toBe(`of ${winners[0]}`);
      }
    });
  });
});
