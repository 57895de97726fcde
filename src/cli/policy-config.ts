import { InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../policy/duration.ts";
import type { PolicySet } from "../policy/policy-set.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./usage-error.ts";

/** The environment variable that names the configuration file. */
const CONFIG_VARIABLE = "LANCEDB_BACKUP_CONFIG";

export interface ConfigOption {
  readonly config?: string;
}

export function configOption(): Option {
  return new Option("-c, --config <file>", "The file with the policies.").env(CONFIG_VARIABLE);
}

/** @throws UsageError where none is named; PolicyFileError. */
export async function readConfig(
  { env }: Pick<Context, "env">,
  { config }: ConfigOption,
): Promise<PolicySet> {
  if (config === undefined || config === "") {
    throw new UsageError(`Which policies? Name their file with --config <file> or in ${CONFIG_VARIABLE}.`);
  }
  const { loadPolicies } = await import("../policy/policies.ts");
  return loadPolicies(config, env);
}

/** Those of the set that are named; all where none is. @throws UsageError */
export function namedPolicies(set: PolicySet, names: readonly string[]): string[] {
  for (const name of names) {
    if (set.get(name)) continue;
    throw new UsageError(`There is no policy ${JSON.stringify(name)} in ${set.file}.`);
  }
  return names.length > 0 ? [...new Set(names)] : [...set.names];
}

/** Milliseconds of `90s`, `15m`, `26h`, `2d`, `1w`. */
export function parseAge(value: string): number {
  const ms = parseDuration(value.trim());
  if (ms === undefined) throw new InvalidArgumentError("It must be a time such as 90m, 26h or 2d.");
  return ms;
}
