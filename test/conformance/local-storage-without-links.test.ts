import { link } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import "./without-links.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { describeStorage } from "./storage-suite.ts";

test("links are gone here", async () => {
  await expect(link("a", "b")).rejects.toMatchObject({ code: "EPERM" });
});

describeStorage(
  "LocalStorage where there are no hard links",
  async () => new LocalStorage(join(await newDirectory(), "storage")),
);
