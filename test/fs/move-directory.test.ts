import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { finishMoves, moveDirectory } from "../../src/fs/move-directory.ts";
import { newDirectory } from "../support/database.ts";
import { otherFileSystem } from "../support/other-file-system.ts";

const write = (directory: string, files: Record<string, string>) => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
};

const filesOf = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();

/** A move that was cut off when the copy was whole, and nothing was removed yet. */
async function cutOff() {
  const place = await newDirectory();
  const [from, room] = [join(place, "t.lance"), join(place, "room")];
  const old = { "data/old": "rows", "_versions/1": "old manifest" };
  write(from, old);
  const to = join(room, "t.lance");
  write(to, old);
  for (const path of Object.keys(old)) utimesSync(join(to, path), 1, 1); // its times were not kept
  writeFileSync(`${to}.moving`, JSON.stringify({ from: "../t.lance", latest: "_versions" }));
  return { from, to, room };
}

test("a table that others made in the old place meanwhile stays whole, and only the old one's files go", async () => {
  const { from, to, room } = await cutOff();
  write(from, { "data/new": "others' rows", "_versions/1": "new manifest" }); // as long as the old one
  await finishMoves(room);
  expect(filesOf(from)).toEqual(["1", "new"]);
  expect(readFileSync(join(from, "_versions/1"), "utf8")).toBe("new manifest");
  expect(readFileSync(join(to, "_versions/1"), "utf8")).toBe("old manifest");
  expect(existsSync(`${to}.moving`)).toBe(false);
});

test("what others wrote to the old table comes after it", async () => {
  const { from, to, room } = await cutOff();
  write(from, { "data/late": "rows", "_versions/2": "late manifest" });
  await finishMoves(room);
  expect(existsSync(from)).toBe(false);
  expect(filesOf(to)).toEqual(["1", "2", "late", "old"]);
});

test("a move to another file system leaves nothing behind, and begins anew where one died in its copy", async (context) => {
  const mount = await otherFileSystem();
  if (!mount) return context.skip();
  const from = join(await newDirectory(), "t.lance");
  write(from, { "data/old": "rows", "_versions/1": "manifest" });
  const to = join(mount, "t.lance");
  write(`${to}.partial`, { "data/old": "ro" });
  await moveDirectory(from, to, "_versions");
  expect(existsSync(from)).toBe(false);
  expect(readFileSync(join(to, "data/old"), "utf8")).toBe("rows");
  expect(readdirSync(mount)).toEqual(["t.lance"]);
});
