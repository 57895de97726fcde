import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { newDirectory } from "./database.ts";

/**
 * A directory on another file system than the other temporary ones, so that links cannot reach it; undefined
 * where none can be had, with the reason printed.
 */
export async function otherFileSystem(size = "64m"): Promise<string | undefined> {
  const directory = await newDirectory();
  const mount = join(directory, "mount");
  mkdirSync(mount);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", mount], { stdio: "pipe" });
  } catch (error) {
    console.warn(`skipped, since no file system can be mounted here: ${error}`);
    return undefined;
  }
  onTestFinished(() => void execFileSync("umount", ["-l", mount]));
  return statSync(mount).dev === statSync(directory).dev ? undefined : mount;
}
