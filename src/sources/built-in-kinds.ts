import { type LazyKind, registerLazily } from "../engine/source-kind.ts";
import { localPath } from "../fs/local-path.ts";
import { commandWords } from "./command/command-argv.ts";
import { parseMysqlUrl } from "./mysql/mysql-address.ts";
import { parsePostgresUrl } from "./postgresql/postgres-address.ts";
import { identityOf, identityOfPath } from "./source-identity.ts";
import { sqlitePath } from "./sqlite/sqlite-path.ts";

/**
 * The kinds of this package besides LanceDB: none is loaded before one of its sources or parts is met. `identify` says what the
 * source's own `id` says.
 */
const BUILT_IN: readonly LazyKind[] = [
  {
    type: "files",
    schemes: ["file"],
    identify: (url) => identityOfPath("files", localPath(url, "source")),
    load: async () => (await import("./files/files-kind.ts")).FILES_KIND,
  },
  {
    type: "command",
    schemes: ["command"],
    identify: (url, { argv }) => identityOf("command", argv ?? commandWords(url)),
    load: async () => (await import("./command/command-kind.ts")).COMMAND_KIND,
  },
  {
    type: "sqlite",
    schemes: ["sqlite"],
    identify: (url) => identityOfPath("sqlite", sqlitePath(url)),
    load: async () => (await import("./sqlite/sqlite-kind.ts")).SQLITE_KIND,
  },
  {
    type: "postgresql",
    schemes: ["postgresql", "postgres"],
    identify: (url) => parsePostgresUrl(url).id,
    load: async () => (await import("./postgresql/postgres-kind.ts")).POSTGRES_KIND,
  },
  {
    type: "mysql",
    schemes: ["mysql", "mariadb"],
    identify: (url) => parseMysqlUrl(url).id,
    load: async () => (await import("./mysql/mysql-kind.ts")).MYSQL_KIND,
  },
];

/** Makes them known. Can be done twice. */
export function registerBuiltInKinds(): void {
  for (const kind of BUILT_IN) registerLazily(kind);
}
