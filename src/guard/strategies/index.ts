import { assertStrategy, BackupStrategy } from "../backup-strategy.ts";
import { directoryCopy } from "../kept-strategies.ts";
import { lanceVersion } from "./lance-version.ts";
import type { Strategy } from "./strategy.ts";

/** @throws ValidationError where no strategy has this name. */
export function strategyOf(name: unknown): Strategy {
  assertStrategy(name);
  return name === BackupStrategy.DirectoryCopy ? directoryCopy : lanceVersion;
}
