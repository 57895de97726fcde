import { AsyncLocalStorage } from "node:async_hooks";
import { homedir } from "node:os";
import type { Connection } from "@lancedb/lancedb";
import { BackupError } from "../../errors.ts";
import { isSamePlace, localPath } from "../../fs/local-path.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import { guardConnection } from "./guarded-connection.ts";
import type { OpenWork } from "./open-work.ts";

/** The guarded work that a call is made in, innermost first, however deep. */
const around = new AsyncLocalStorage<readonly OpenWork[]>();

/** Runs guarded work, so that what it calls finds it. */
export function runAsWork<T>(operation: OpenWork, work: () => Promise<T>): Promise<T> {
  return around.run([operation, ...(around.getStore() ?? [])], work);
}

/**
 * LanceDB's `connect` for what connects by itself. Inside of guarded work on the very database it answers with a
 * guarded connection of that work, and elsewhere with a plain one, opened by LanceDB with just these arguments.
 */
export async function connectInWork(lancedb: LanceDB, args: readonly unknown[]): Promise<Connection> {
  const { connect } = await lancedb.api();
  const operation = workOn(uriOf(args));
  const connection = (await Reflect.apply(connect, undefined, args as never)) as Connection;
  return operation ? guardConnection(operation, connection) : connection;
}

function workOn(uri: string | undefined): OpenWork | undefined {
  const works = around.getStore() ?? [];
  if (uri === undefined || works.length === 0) return undefined;
  let path: string;
  try {
    path = localPath(uri.replace(/^~(?=\/|$)/, homedir()), "uri"); // which LanceDB does, too
  } catch (error) {
    if (error instanceof BackupError) return undefined; // a database elsewhere, or none: LanceDB says which
    throw error;
  }
  return works.find(({ database }) => isSamePlace(database, path));
}

function uriOf([first]: readonly unknown[]): string | undefined {
  const uri = typeof first === "object" && first !== null ? Reflect.get(first, "uri") : first;
  return typeof uri === "string" ? uri : undefined;
}
