import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Repository, StorageOptions } from "../repository/index.ts";
import { schemeOf } from "../storage/open-storage.ts";
import { printable } from "../util/printable.ts";
import { type LimitOptions, REPOSITORY_VARIABLE, type RepositoryOption } from "./command.ts";
import type { Context } from "./context.ts";
import { keysToOpen } from "./key-options.ts";
import { UsageError } from "./usage-error.ts";

/** An address stays as it is. */
const placeOf = (location: string) => (schemeOf(location) === undefined ? resolve(location) : location);

/** @throws UsageError where none is named. */
export function repositoryPath({ repo }: RepositoryOption): string {
  if (repo !== undefined && repo !== "") return repo;
  throw new UsageError(`Which repository? Name it with --repo <directory> or in ${REPOSITORY_VARIABLE}.`);
}

/**
 * The repository that an argument names, or else the option.
 *
 * @throws UsageError where they name two, or neither any. What the environment names gives way.
 */
export function namedRepository(
  { env }: Context,
  path: string | undefined,
  options: RepositoryOption,
): string {
  const { repo } = options;
  if (path === undefined) return repositoryPath(options);
  if (repo !== undefined && repo !== env[REPOSITORY_VARIABLE] && placeOf(repo) !== placeOf(path)) {
    throw new UsageError(`Two repositories are named: ${path}, and ${repo} by --repo. Name one.`);
  }
  return path;
}

export async function openRepository(
  context: Context,
  options: RepositoryOption & LimitOptions,
): Promise<Repository> {
  const path = repositoryPath(options);
  const use = storageOptions(path, context, options);
  // A misspelt path is not offered to be made a repository. One in quotes is told of where all paths are.
  if (schemeOf(path) === undefined && !/^["'`]/.test(path) && !existsSync(path)) {
    throw new UsageError(
      `There is no repository at ${printable(resolve(path))}: nothing is there. Is the path misspelt, or the disk not mounted?`,
    );
  }
  const { Repository } = await import("../repository/index.ts");
  const keys = () => keysToOpen(context);
  const { audit } = context.options;
  return Repository.open(path, { logger: context.logger, audit, ...use, keys });
}

/** How a repository's storage is to be used. @throws UsageError for limits of a local directory */
export function storageOptions(
  path: string,
  { options: { readOnly } }: Pick<Context, "options">,
  { limitUpload, limitDownload }: LimitOptions,
): StorageOptions {
  if (schemeOf(path) === undefined && (limitUpload ?? limitDownload) !== undefined)
    throw new UsageError(`${path} is a local directory: --limit-upload and --limit-download are for stores.`);
  return { limitUpload, limitDownload, ...(readOnly && { readOnly }) };
}
