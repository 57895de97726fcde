import { UnsupportedError } from "../../errors.ts";
import { type FoundProgram, findPrograms, versionDirectories } from "../programs/find-programs.ts";

/** Programs of PostgreSQL, of one version. */
export type ProgramName = "psql" | "pg_dump" | "pg_dumpall" | "pg_restore";

/** Where Debian, Red Hat, Homebrew and the installer put each version. */
const PLACES: readonly [string, RegExp, string][] = [
  ["/usr/lib/postgresql", /^(\d+)$/, "bin"],
  ["/usr", /^pgsql-(\d+)$/, "bin"],
  ["/opt/homebrew/opt", /^postgresql@(\d+)$/, "bin"],
  ["/usr/local/opt", /^postgresql@(\d+)$/, "bin"],
  ["/Library/PostgreSQL", /^(\d+)$/, "bin"],
];

/** Since these, and in every later major, a dump can forbid psql's commands in it by a key that only its maker knows. */
const RESTRICTED: Readonly<Record<number, number>> = { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 };

export function knowsRestrict({ major, minor }: Pick<FoundProgram, "major" | "minor">): boolean {
  return major >= 18 || minor >= (RESTRICTED[major] ?? Number.POSITIVE_INFINITY);
}

/**
 * The program for a server: of the server's own major version, or else the next newer one.
 *
 * @param what whose version `serverMajor` is, for messages: the server, or a dump.
 * @param serverMajor undefined where it is not known yet: the newest there is.
 * @throws UnsupportedError saying what to install where there is none, or older ones alone.
 */
export async function programFor(
  name: ProgramName,
  serverMajor: number | undefined,
  binDir: string | undefined,
  env: NodeJS.ProcessEnv,
  what = "server",
): Promise<FoundProgram> {
  const directories = versionDirectories(PLACES);
  const found = await findPrograms([name], { only: binDir, directories }, env);
  const newestFirst = found.toSorted((a, b) => b.major - a.major || b.minor - a.minor);
  const newEnough = newestFirst.filter(({ major }) => major >= (serverMajor ?? 0));
  const chosen =
    serverMajor === undefined
      ? newestFirst[0]
      : (newEnough.find(({ major }) => major === serverMajor) ?? newEnough.at(-1));
  if (chosen) return chosen;
  const where = binDir === undefined ? "here" : `in ${binDir}`;
  const install =
    serverMajor === undefined
      ? "install PostgreSQL's client programs (Debian: postgresql-client)"
      : `install those of PostgreSQL ${serverMajor} (Debian: postgresql-client-${serverMajor}), or name their directory by binDir`;
  const [newest] = newestFirst;
  throw new UnsupportedError(
    newest
      ? `The ${what} is of PostgreSQL ${serverMajor}, and the newest ${name} ${where} is of ${newest.major}.${newest.minor}, which is too old for it: ${install}.`
      : `There is no ${name} ${where}: ${install}.`,
  );
}
