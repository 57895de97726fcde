import { describe, expect, test, vi } from "vitest";
import { WebdavStorage } from "../../examples/storages/webdav-storage.ts";
import { faultProxy } from "../support/fault-proxy.ts";
import { useFileServer, whyNoFileServer } from "../support/file-servers.ts";
import { describeStorage } from "./storage-suite.ts";

// The errors that the suite knows are those of the sources.
vi.mock("lancedb-backup/repository", () => import("../../src/repository/index.ts"));

const missing = whyNoFileServer("webdav");
if (missing !== undefined) test.skip(`WebdavStorage (${missing})`, () => undefined);

describe.skipIf(missing !== undefined)("WebdavStorage", () => {
  const server = useFileServer("webdav");
  describeStorage("on Apache", async () => new WebdavStorage(server.address()));

  test.each(["lost", "unanswered"] as const)(
    "a MOVE whose connection ends (%s) is done once: one writer has the name, what is removed is gone",
    async (fault) => {
      const address = new URL(server.address());
      const target = `http://${address.host}`;
      const moved = { count: 0 };
      const proxy = await faultProxy(target, ({ method }) =>
        method === "MOVE" && ++moved.count % 2 === 1 ? fault : undefined,
      );
      address.host = new URL(proxy.endpoint).host;
      const storage = new WebdavStorage(address.href);
      expect(await storage.writeNew("a/b", Buffer.from("first"))).toBe(true);
      moved.count = 0;
      expect(await storage.writeNew("a/b", Buffer.from("second"))).toBe(false);
      expect(await storage.stat("a/b")).toMatchObject({ size: 5 });
      moved.count = 0;
      await storage.remove("a/b");
      expect(await storage.stat("a/b")).toBeUndefined();
      moved.count = 0;
      await storage.write("a/b", Buffer.from("third"));
      expect(await storage.stat("a/b")).toMatchObject({ size: 5 });
      for await (const { name } of storage.list("")) expect(name).toBe("a/b");
    },
  );
});
