import { readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Entry, Source } from "lancedb-backup/repository";

/** A directory of files as a source of one's own. */
export function smallFiles(directory: string): Source {
  return {
    type: "directory",
    id: "bench-small-files",
    uri: directory,
    async capture() {
      const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
      return {
        capturedAt: new Date(),
        async *entries(): AsyncGenerator<Entry> {
          for (const path of names) {
            const file = join(directory, path);
            const found = statSync(file);
            if (found.isDirectory()) continue;
            const { size, mtimeMs, ino } = found;
            const open = async function* () {
              yield await readFile(file);
            };
            yield { path, size, stamp: `${ino}:${size}:${mtimeMs}`, open };
          }
        },
        finish: async () => ({ about: {}, details: {} }),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
}
