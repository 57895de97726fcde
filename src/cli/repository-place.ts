import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Context } from "./context.ts";
import { pathOf } from "./database-argument.ts";
import { UsageError } from "./usage-error.ts";

/**
 * Looks where a new repository would lie. Beside tables it is a bad neighbour, of which is warned.
 *
 * @throws UsageError for a place inside of another repository or of a table.
 */
export function assertPlace(repository: string, { logger }: Pick<Context, "logger">): void {
  const path = pathOf(repository);
  if (path.endsWith(".lance")) {
    throw new UsageError(
      `${path} would be taken for a table: LanceDB takes every directory whose name ends in .lance for one.`,
    );
  }
  for (let above = dirname(path); above !== dirname(above); above = dirname(above)) {
    if (isRepository(above)) {
      throw new UsageError(`${path} lies inside of another repository, ${above}.`);
    }
    if (above.endsWith(".lance") && existsSync(join(above, "_versions"))) {
      throw new UsageError(`${path} lies inside of a table, ${above}.`);
    }
  }
  for (const directory of [path, dirname(path)]) {
    if (holdsTables(directory)) {
      logger.warn("the repository lies in a database's directory; keep it elsewhere, best on another disk", {
        database: directory,
      });
    }
  }
}

function isRepository(directory: string): boolean {
  const marker = join(directory, "repository.json");
  return existsSync(marker) && readFileSync(marker, "utf8").includes("lancedb-backup repository");
}

function holdsTables(directory: string): boolean {
  if (!existsSync(directory)) return false;
  return readdirSync(directory).some(
    (name) => name.endsWith(".lance") && existsSync(join(directory, name, "_versions")),
  );
}
