import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { newDirectory } from "../../support/database.ts";
import { sha256 } from "./forge-blob.ts";

// Real threads, of a system that has only so many: as in a container with a limit of processes, where Node throws this.
const system = vi.hoisted(() => ({ left: 0, threads: [] as Worker[], refused: 0 }));

vi.mock("node:worker_threads", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:worker_threads")>();
  class Limited extends original.Worker {
    constructor(...values: ConstructorParameters<typeof original.Worker>) {
      if (system.left === 0) {
        system.refused++;
        throw Object.assign(new Error("Worker initialization failure: EAGAIN"), {
          code: "ERR_WORKER_INIT_FAILED",
        });
      }
      super(...values);
      system.left--;
      system.threads.push(this);
    }
  }
  return { ...original, Worker: Limited };
});

const MIB = 1 << 20;

beforeEach(() => {
  vi.resetModules(); // threads of its own
  Object.assign(system, { left: 0, threads: [], refused: 0 });
});

describe("blobs are encoded and decoded", () => {
  const load = async () => (await import("../../../src/engine/codec/codec-threads.ts")).codecThreads;
  const contents = [1, 2, 3, 4].map((byte) => Buffer.alloc(9 * MIB, byte));

  test.each([0, 1])("where the system has %d threads to give, which is found out once", async (threads) => {
    const codecThreads = await load();
    for (let turn = 0; turn < 2; turn++) {
      system.left = turn === 0 ? threads : 0;
      const digests = await Promise.all(
        contents.map((content) => codecThreads.run("digest", { bytes: Buffer.from(content) })),
      );
      expect(digests.map((digest) => digest.sha256)).toEqual(contents.map(sha256));
    }
    expect(system.threads.length).toBe(threads);
    expect(system.refused).toBeLessThanOrEqual(1);
    const options = { name: "none", compression: { algorithm: "zstd" } } as const;
    await expect(codecThreads.run("encode", { bytes: Buffer.alloc(9 * MIB), options })).rejects.toThrow(
      TypeError,
    );
  });

  test("also what waits for a thread that ends in the middle, whose task alone fails, with an IoError", async () => {
    system.left = 1;
    const codecThreads = await load();
    const [first, ...others] = contents.map((content) =>
      codecThreads.run("digest", { bytes: Buffer.from(content) }),
    );
    void system.threads[0]?.terminate();
    await expect(first).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("thread") });
    const digests = await Promise.all(others);
    expect(digests.map((digest) => digest.sha256)).toEqual(contents.slice(1).map(sha256));
  });

  test("also where a thread has ended while it had nothing to do", async () => {
    system.left = 2;
    const codecThreads = await load();
    const all = () =>
      Promise.all(contents.map((content) => codecThreads.run("digest", { bytes: Buffer.from(content) })));
    await all();
    await system.threads[0]?.terminate();
    const digests = await all();
    expect(digests.map((digest) => digest.sha256)).toEqual(contents.map(sha256));
  });
});

describe("files are hashed", () => {
  async function arrange() {
    const { runTasks } = await import("../../../src/fs/workers/pool.ts");
    const directory = await newDirectory();
    const contents = [1, 2, 3].map((byte) => Buffer.alloc(5 * MIB, byte));
    const inputs = contents.map((content, index) => {
      const path = join(directory, String(index));
      writeFileSync(path, content);
      return { path };
    });
    return { runTasks, contents, inputs, bytesOf: () => 5 * MIB };
  }

  test.each([0, 1, 4])("where the system has %d threads to give", async (threads) => {
    const { runTasks, contents, inputs, bytesOf } = await arrange();
    system.left = threads;
    const digests = new Map<string, string>();
    await runTasks("hash", inputs, {
      bytesOf,
      onDone: ({ path }, result) => digests.set(path, result.sha256),
    });
    expect(inputs.map(({ path }) => digests.get(path))).toEqual(contents.map(sha256));
    expect(system.threads.length).toBe(Math.min(threads, inputs.length));
  });

  test("or it is an IoError that a thread has ended in the middle", async () => {
    const { runTasks, inputs, bytesOf } = await arrange();
    system.left = 1;
    const run = runTasks("hash", inputs, { bytesOf, onDone: () => undefined });
    void system.threads[0]?.terminate();
    await expect(run).rejects.toMatchObject({ code: "IO", message: expect.stringContaining("thread") });
  });
});
