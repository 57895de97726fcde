import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { takeId } from "../../../src/guard/journal/journal.ts";
import { newDirectory } from "../../support/database.ts";

afterEach(() => {
  vi.useRealTimers();
});

const HOUR = 3600;
const START = 1_795_248_000; // the beginning of an hour

function at(seconds: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: seconds * 1000 });
}

const ids = (database: string) => join(database, ".lancedb-backup", "ids");

test("the first of a second has no suffix, the next ones count, each kind by itself", async () => {
  const database = await newDirectory();
  at(START);
  expect([1, 2, 3].map(() => takeId(database))).toEqual([
    `backup_${START}`,
    `backup_${START}_2`,
    `backup_${START}_3`,
  ]);
  expect(takeId(database, "restore")).toBe(`restore_${START}`);
  at(START + 1);
  expect(takeId(database)).toBe(`backup_${START + 1}`);
  at(START); // the clock was set back
  expect(takeId(database)).toBe(`backup_${START}_4`);
});

test("what was used long ago is forgotten little by little, and not before", async () => {
  const database = await newDirectory();
  for (let second = 0; second < 20; second++) {
    at(START + second);
    for (let count = 0; count < 3; count++) takeId(database);
  }
  const first = () => readdirSync(ids(database)).includes(String(START / HOUR));
  at(START + 2 * HOUR - 1);
  takeId(database);
  expect(readdirSync(join(ids(database), String(START / HOUR)))).toHaveLength(20);
  at(START + 2 * HOUR);
  takeId(database);
  takeId(database); // only the first of a second forgets
  expect(readdirSync(join(ids(database), String(START / HOUR)))).toHaveLength(17);
  for (let second = 1; second < 8; second++) {
    at(START + 2 * HOUR + second);
    takeId(database);
  }
  expect(first()).toBe(false);
});

test("what the last hour used costs nothing", async () => {
  const database = await newDirectory();
  const now = Math.floor(Date.now() / 1000);
  for (let second = 10; second < 110; second++) {
    const directory = join(ids(database), String(Math.floor((now - second) / HOUR)), String(now - second));
    mkdirSync(directory, { recursive: true });
    for (let count = 0; count < 100; count++)
      writeFileSync(join(directory, `backup_${now - second}_${count}`), "");
  }
  const times = Array.from({ length: 21 }, () => {
    const started = performance.now();
    takeId(database);
    return performance.now() - started;
  });
  expect(times.sort((a, b) => a - b)[2]).toBeLessThan(2); // beside other load not each time
});

test("processes that take ids at once never get the same", async () => {
  const database = await newDirectory();
  const program = `
    const { takeId } = await import(${JSON.stringify(join(import.meta.dirname, "../../../src/guard/journal/journal.ts"))});
    for (let count = 0; count < 200; count++) console.log(takeId(${JSON.stringify(database)}));`;
  const outputs = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      for await (const piece of child.stdout) text += String(piece);
      return text.trim().split("\n");
    }),
  );
  const all = outputs.flat();
  expect(all).toHaveLength(600);
  expect(new Set(all).size).toBe(600);
});
