import { existsSync } from "node:fs";
import { assertKnown } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { localPath } from "../fs/local-path.ts";
import { databasePath } from "../lance/database.ts";
import type { KeysOption } from "../repository/repository-options.ts";
import type { StorageOptions } from "../storage/layers/layered.ts";
import { schemeOf } from "../storage/open-storage.ts";
import { diagnoseJournal } from "./diagnose-journal.ts";
import { diagnoseRepository } from "./diagnose-repository.ts";
import { diagnoseStrays } from "./diagnose-strays.ts";
import { diagnosePlace } from "./file-system.ts";
import type { Finding } from "./finding.ts";
import { diagnoseLeftovers } from "./leftovers.ts";
import { diagnoseMisnamed } from "./misnamed.ts";
import { diagnoseOwners, diagnoseReadable } from "./permissions.ts";
import { Remedies } from "./remedies.ts";
import { diagnoseTables } from "./tables.ts";
import { diagnoseVersions } from "./versions.ts";

export interface DiagnoseOptions {
  /** A database's directory. */
  uri?: string | undefined;
  /** A repository's directory or address. */
  repository?: string | undefined;
  /** What opens it, where it is encrypted; as for `Repository.open`. */
  keys?: KeysOption | undefined;
  /** How its storage is used. */
  storage?: StorageOptions | undefined;
  signal?: AbortSignal | undefined;
}

export interface Diagnosis {
  /** Whether nothing is a `problem`. */
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

/** An address as it is, a directory as an absolute path. */
const placeOf = (repository: string) =>
  schemeOf(repository) === undefined ? localPath(repository, "repository") : repository;

/**
 * Looks at versions, file systems, what processes left behind, tables and a repository, and says what to do about what is
 * not as it should be. Changes nothing; it makes files for a moment to see which links the file systems can make. What
 * others do meanwhile may be seen half-way: look again before you act on a `problem` of a table that is being written.
 *
 * @throws ValidationError where there is no such database. @throws UnsupportedError where it is not local.
 * @example
 * ```ts
 * const { findings } = await diagnose({ uri: "data/lancedb-table", repository: "vault" });
 * for (const { level, details, advice } of findings) console.log(level, details, advice);
 * ```
 */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Diagnosis> {
  assertKnown(options, "diagnose", { uri: true, repository: true, keys: true, storage: true, signal: true });
  const { uri, repository, keys, storage, signal } = options;
  const findings: Finding[] = await diagnoseVersions();
  const directory = uri === undefined ? undefined : await databasePath(uri);
  if (directory !== undefined && !existsSync(directory)) {
    throw new ValidationError(`There is no database at ${directory}.`);
  }
  const misnamed = directory === undefined ? undefined : diagnoseMisnamed(directory);
  if (misnamed) findings.push(misnamed);
  const database = misnamed ? undefined : directory;
  const location = repository === undefined ? undefined : placeOf(repository);
  const kept =
    location === undefined
      ? undefined
      : await diagnoseRepository({ location, keys, storage }, database, signal);
  if (database !== undefined) {
    const remedies = new Remedies(database, location, kept?.newest);
    const locked = diagnoseReadable(database);
    findings.push(...(await diagnosePlace(database, "database")), ...locked);
    if (locked.length === 0) {
      findings.push(...(await diagnoseJournal(remedies)), ...(await diagnoseLeftovers(database, signal)));
      findings.push(
        ...(await diagnoseTables(remedies, signal)),
        ...diagnoseOwners(database, "database", signal),
        ...diagnoseStrays(database, "database", signal),
      );
    }
  }
  findings.push(...(kept?.findings ?? []));
  return { ok: findings.every(({ level }) => level !== "problem"), findings };
}
