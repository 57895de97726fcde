import type { SqlServer } from "./sql-servers.ts";

/** Every table of a database, with its rows as text. */
export async function dumpTables(server: SqlServer, database: string): Promise<Record<string, string>> {
  const listed = await server.run(
    database,
    `SELECT json_build_object('id', schemaname || '.' || tablename, 'name', format('%I.%I', schemaname, tablename))
     FROM pg_tables WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema' ORDER BY 1::text`,
  );
  const tables: Record<string, string> = {};
  for (const line of listed === "" ? [] : listed.split("\n")) {
    const { id, name } = JSON.parse(line) as { id: string; name: string };
    tables[id] = await server.run(database, `SELECT t::text FROM ${name} t ORDER BY 1`);
  }
  return tables;
}
