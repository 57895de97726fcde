import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { Random } from "../concurrency/random.ts";
import { nightly } from "../crash/workshop.ts";
import { newDirectory } from "../support/database.ts";
import { namesBelow, readAll } from "../support/pieces.ts";
import type { WriterTask } from "./writer.ts";

const SEED = 20_261_121;
const WRITER = join(import.meta.dirname, "writer.ts");
const WITHOUT_LINKS = join(import.meta.dirname, "without-links.ts");

const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

function start(task: WriterTask, links: boolean): { child: ChildProcess; lines: () => string[] } {
  const preload = links ? [] : ["--import", WITHOUT_LINKS];
  const child = spawn(process.execPath, [...preload, WRITER, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  let output = "";
  child.stdout?.on("data", (data: Buffer) => {
    output += data;
  });
  return { child, lines: () => output.split("\n").filter((line) => line.startsWith("new/")) };
}

const ended = async (child: ChildProcess) => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
};

const links = [true, false];
const title = (has: boolean) => (has ? "with links" : "without links");

test.each(links)("of several processes, one alone makes each object (links: %s)", async (withLinks) => {
  const directory = await newDirectory();
  const until = Date.now() + 60_000;
  const rounds = nightly ? 400 : 60;
  const writers = [1, 2, 3, 4].map((seed) => start({ directory, until, seed, rounds }, withLinks));
  for (const { child } of writers) {
    await ended(child);
    expect(child.exitCode, title(withLinks)).toBe(0);
  }
  const told = writers.flatMap(({ lines }) => lines()).map((line) => line.split(" ") as [string, string]);
  expect(told.map(([name]) => name).sort()).toEqual(
    Array.from({ length: rounds }, (_, i) => `new/${i}`).sort(),
  );
  const storage = new LocalStorage(directory);
  for (const [name, who] of told) {
    expect((await readAll(storage, name)).equals(Buffer.from(`${who}|`.repeat(20_000)))).toBe(true);
  }
  for (const folder of ["new", "same"])
    expect(readdirSync(join(directory, folder)).filter((name) => name.startsWith("."))).toEqual([]);
});

test.each(links)(
  "writers that are killed leave whole objects, and nobody's way barred (links: %s)",
  async (withLinks) => {
    const directory = await newDirectory();
    const random = new Random(SEED);
    const until = Date.now() + 120_000;
    const rounds = nightly ? 3000 : 250;
    let seed = SEED;
    const begin = () => start({ directory, until, seed: seed++, rounds }, withLinks);
    const running = [begin(), begin(), begin()];
    const all = [...running];
    const kills = nightly ? 120 : 12;
    for (let kill = 0; kill < kills; kill++) {
      await sleep(80 + random.below(200));
      const slot = random.below(running.length);
      running[slot]?.child.kill("SIGKILL");
      const next = begin();
      running[slot] = next;
      all.push(next);
    }
    for (const { child } of running) {
      await ended(child);
      expect(child.exitCode).toBe(0);
    }
    const storage = new LocalStorage(directory);
    const names = await namesBelow(storage, "new/");
    expect(names).toEqual(Array.from({ length: rounds }, (_, index) => `new/${index}`).sort());
    const told = new Map(
      all.flatMap(({ lines }) => lines().map((line) => line.split(" ") as [string, string])),
    );
    for (const name of [...names, ...(await namesBelow(storage, "same/"))]) {
      const content = (await readAll(storage, name)).toString();
      const who = content.slice(0, content.indexOf("|"));
      expect(content === `${who}|`.repeat(20_000)).toBe(true);
      expect(told.get(name) ?? who).toBe(who);
    }
  },
);
