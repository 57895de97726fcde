import { randomBytes } from "node:crypto";
import type { PartContent } from "../../engine/snapshot.ts";
import type { PartToTest, SourceKind } from "../../engine/source-kind.ts";
import { UnsupportedError } from "../../errors.ts";
import { proved } from "../proved-entry.ts";
import { type MysqlAddress, parseMysqlUrl } from "./mysql-address.ts";
import { MysqlClient } from "./mysql-client.ts";
import { entryOf, holdingsOf, MysqlSource, readAbout, readDetails } from "./mysql-source.ts";
import { dropMysql, inspectTarget, restoreMysql } from "./restore-mysql.ts";

/** Where a restore test makes its database. Default: on the server of the source, by the programs' own ways to log in. */
const SCRATCH_URL = "LANCEDB_BACKUP_MYSQL_SCRATCH";

const SCRATCH_NAME = "lancedb_backup_test";
/** One that is older was left by a process that died: no restore test lasts so long without its server's knowing. */
const ABANDONED_SECONDS = 7 * 86_400;

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
  async planRestore({ part, target, mode, paths, tables, options = {}, signal }) {
    if (paths ?? tables) {
      throw new UnsupportedError(
        `Of ${part.source.uri} all is restored, or nothing: paths and tables choose none of it.`,
      );
    }
    const { env, binDir } = options;
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
    const address = scratchAddress(process.env[SCRATCH_URL] || request.part.source.uri);
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

function scratchAddress(url: string): MysqlAddress {
  const address = parseMysqlUrl(url);
  const database = `${SCRATCH_NAME}_${Math.floor(Date.now() / 1000)}_${randomBytes(4).toString("hex")}`;
  return { ...address, database, uri: address.uri.replace(/[^/]*$/, database) };
}

/** Drops those that dead processes left. (A database of this kind of server can say nothing of whose it is.) */
async function sweep(client: MysqlClient): Promise<void> {
  const names = await client.rows<string>(
    `SELECT JSON_QUOTE(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME REGEXP '^${SCRATCH_NAME}_[0-9]+_[0-9a-f]{8}$';`,
  );
  for (const name of names) {
    const madeAt = Number(name.split("_")[3]);
    if (Date.now() / 1000 - madeAt > ABANDONED_SECONDS) await dropMysql(client, name);
  }
}
