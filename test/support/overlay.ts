import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/**
 * An overlay mount over a directory, as a container has over its image's files: what is in `lower` shows, and cannot be
 * renamed as a directory. Undefined where none can be had, with the reason printed.
 */
export function overlayOver(lower: string, place: string): string | undefined {
  const [upper, work, mount] = ["upper", "work", "mount"].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [upper, work, mount]) mkdirSync(directory);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},redirect_dir=off`;
  try {
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, mount], { stdio: "pipe" });
  } catch (error) {
    console.warn(`skipped, since no overlay can be mounted here: ${error}`);
    return undefined;
  }
  onTestFinished(() => void execFileSync("umount", ["-l", mount]));
  return mount;
}
