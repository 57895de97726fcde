import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, toIoError } from "../../fs/io.ts";
import { ensurePrivateDirectory } from "../../lance/private-directory.ts";

/** How long a used id stays taken. A process that stops longer between two steps of a sweep is not expected. */
const KEPT_SECONDS = 3600;

/**
 * Takes the next id, `backup_<unix seconds>`, with a suffix where several fall into one second. An id is
 * used once: a process that sweeps an entry must never meet another one of the same name.
 */
export function takeId(database: string): string {
  const directory = ensurePrivateDirectory(database, "ids");
  const seconds = Math.floor(Date.now() / 1000);
  for (let suffix = 1 + highestSuffix(directory, seconds); ; suffix++) {
    const id = suffix === 1 ? `backup_${seconds}` : `backup_${seconds}_${suffix}`;
    const path = join(directory, id);
    try {
      closeSync(openSync(path, "wx"));
      return id;
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw toIoError(error, "create", path);
    }
  }
}

/** The highest suffix that was used in this second; forgets ids of long ago on the way. */
function highestSuffix(directory: string, seconds: number): number {
  let highest = 0;
  try {
    for (const name of readdirSync(directory)) {
      const [, second, suffix = "1"] = /^backup_(\d+)(?:_(\d+))?$/.exec(name) ?? [];
      if (second === undefined) continue;
      if (Number(second) === seconds) highest = Math.max(highest, Number(suffix));
      else if (Math.abs(Number(second) - seconds) > KEPT_SECONDS)
        rmSync(join(directory, name), { force: true });
    }
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
  return highest;
}
