import type { PolicySet } from "./policy-set.ts";

/**
 * Reads a configuration file: YAML with `backup_manager`, what holds for every policy, and `policies` by their names
 * (docs/policies.md). Asks no server, and opens no repository.
 *
 * @param env what `${NAME}` stands for. Default: the process's environment.
 * @throws PolicyFileError, a ValidationError, with everything that is wrong in the file: each with its line, its key, and
 * what is allowed. No message holds what a placeholder stands for. @throws IoError where the file cannot be read.
 * @example
 * ```ts
 * const policies = await loadPolicies("backup.yaml");
 * console.log(policies.names);
 * ```
 */
export async function loadPolicies(
  file: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<PolicySet> {
  const { readPolicies } = await import("./load-policies.ts");
  return readPolicies(file, env);
}
