import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { inProject, PreparationError, say } from "./project.mjs";

const lockFile = inProject(".cache", "run.lock");
const waitLimitMs = 15 * 60 * 1000;

/**
 * Does the work while no other process of this checkout installs or builds. A lock whose process has died is
 * taken over.
 *
 * @template T
 * @param {() => T | Promise<T>} work
 */
export async function withLock(work) {
  await take();
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

async function take() {
  mkdirSync(inProject(".cache"), { recursive: true });
  const deadline = Date.now() + waitLimitMs;
  let told = false;
  while (!createLock()) {
    const holder = readHolder();
    if (holder === undefined) continue;
    if (!isAlive(holder)) {
      rmSync(lockFile, { force: true });
      continue;
    }
    if (Date.now() > deadline) {
      throw new PreparationError(
        `Process ${holder} has been installing or building for too long. If it is none of this project's, delete ${lockFile}.`,
      );
    }
    if (!told) say(`waiting for process ${holder}, which installs or builds`);
    told = true;
    await sleep(100);
  }
}

/** By a link, so that the lock appears with its content. */
function createLock() {
  const own = `${lockFile}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, lockFile);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function readHolder() {
  try {
    return Number(readFileSync(lockFile, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** @param {number} pid */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
