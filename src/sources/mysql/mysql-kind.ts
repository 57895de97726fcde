import type { PartContent } from "../../engine/snapshot.ts";
import type { PartToTest, SourceKind } from "../../engine/source-kind.ts";
import { ABANDONED_SECONDS, ageOfScratch, SCRATCH_NAMES, scratchOf } from "../programs/scratch-names.ts";
import { assertAll } from "../programs/server-database.ts";
import { proved } from "../proved-entry.ts";
import { parseMysqlUrl } from "./mysql-address.ts";
import { MysqlClient } from "./mysql-client.ts";
import { entryOf, holdingsOf, MysqlSource, readAbout, readDetails } from "./mysql-source.ts";
import { dropMysql, inspectTarget, restoreMysql } from "./restore-mysql.ts";

/** Where a restore test makes its database. Default: on the server of the source, by the programs' own ways to log in. */
const SCRATCH_URL = "LANCEDB_BACKUP_MYSQL_SCRATCH";

/** MySQL and MariaDB databases, among the kinds of sources. */
export const MYSQL_KIND: SourceKind = {
  type: "mysql",
  schemes: ["mysql", "mariadb"],
  urlOptions: ["binDir", "env", "tables", "excludeTables"],
  fromUrl: (url, { sourceId: id, binDir, env, tables, excludeTables }) =>
    MysqlSource.open(url, { id, binDir, env, tables, excludeTables }),
  assertAbout: (part, place) => void readAbout(part, place),
  assertPart(part, place) {
    readAbout(part, place);
    readDetails(part, place);
    entryOf(part, place);
  },
  holdings: (part) => holdingsOf(readAbout(part, part.source.uri)),
  async planRestore(request) {
    assertAll(request);
    const { target, mode, options: { env, binDir } = {}, signal } = request;
    await using client = await MysqlClient.open(parseMysqlUrl(target, { ...process.env, ...env }), {
      ...{ env, binDir, signal },
    });
    await inspectTarget(client, { mode });
  },
  async restore({ target, mode, options: { env, binDir } = {}, signal, ...request }) {
    const address = parseMysqlUrl(target, { ...process.env, ...env });
    await restoreMysql(address, contentOf(request), { mode, env, binDir, signal });
  },
  async test({ scratch: _scratch, signal, ...request }) {
    const address = scratchOf(parseMysqlUrl(process.env[SCRATCH_URL] || request.part.source.uri));
    await using client = await MysqlClient.open(address, { signal });
    await sweep(client);
    const content = contentOf(request);
    try {
      await restoreMysql(address, content, { signal });
    } finally {
      await dropMysql(client, address.database);
    }
    const rows = [...content.rows.values()].reduce((sum, count) => sum + count, 0);
    return `restored into a database of ${address.uri.replace(/\/[^/]*$/, "")}: ${content.rows.size} tables, ${rows} rows`;
  },
};

function contentOf({ part, read }: Pick<PartToTest, "read"> & { readonly part: PartContent }) {
  const { uri } = part.source;
  const { serverVersion, rows } = readAbout(part, uri);
  const entry = entryOf(part, uri);
  const facts = { serverVersion, ...readDetails(part, uri) };
  return { facts, rows, read: () => proved(entry, read(entry), uri) };
}

/** Drops those that dead processes left. (A database of this kind of server can say nothing of whose it is.) */
async function sweep(client: MysqlClient): Promise<void> {
  const names = await client.rows<string>(
    `SELECT JSON_QUOTE(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME REGEXP '${SCRATCH_NAMES}';`,
  );
  for (const name of names) {
    if (ageOfScratch(name) > ABANDONED_SECONDS) await dropMysql(client, name);
  }
}
