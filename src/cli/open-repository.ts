import type { Repository } from "../repository/index.ts";
import { REPOSITORY_VARIABLE, type RepositoryOption } from "./command.ts";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";

/** @throws UsageError where none is named. */
export function repositoryPath({ repo }: RepositoryOption): string {
  if (repo !== undefined && repo !== "") return repo;
  throw new UsageError(`Which repository? Name it with --repo <directory> or in ${REPOSITORY_VARIABLE}.`);
}

export async function openRepository(context: Context, options: RepositoryOption): Promise<Repository> {
  const path = repositoryPath(options);
  const { Repository } = await import("../repository/index.ts");
  return Repository.open(path, { logger: context.logger });
}
