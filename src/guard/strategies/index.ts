import { ValidationError } from "../../errors.ts";
import { BackupStrategy } from "../strategy.ts";
import { directoryCopy } from "./directory-copy.ts";
import { lanceVersion } from "./lance-version.ts";
import type { Strategy } from "./strategy.ts";

const STRATEGIES: readonly Strategy[] = [directoryCopy, lanceVersion];

/** @throws ValidationError where no strategy has this name. */
export function strategyOf(name: unknown): Strategy {
  const strategy = STRATEGIES.find((candidate) => candidate.name === name);
  if (!strategy) {
    const names = Object.values(BackupStrategy).join('" or "');
    throw new ValidationError(`${JSON.stringify(name)} is not a backup strategy: use "${names}".`);
  }
  return strategy;
}
