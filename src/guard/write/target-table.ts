import type { Connection, Table } from "@lancedb/lancedb";
import type { Schema } from "apache-arrow";
import { adoptSchema } from "../../arrow/schemas.ts";
import { BackupError, LanceError, ValidationError } from "../../errors.ts";
import { isError, reasonOf } from "../../fs/io.ts";
import { assertNamespaces } from "../../lance/lacking.ts";

/** Which table of the database. */
export interface TableRef {
  readonly name: string;
  /** The namespace it is in, outermost first; empty for the root. */
  readonly namespacePath: readonly string[];
}

/** A table as it was when it was opened. */
export interface Target {
  readonly table: Table;
  readonly schema: Schema;
  readonly version: number;
}

/** The table's id: its name, after its namespaces. */
export function refName(ref: TableRef): string {
  return [...ref.namespacePath, ref.name].join("$");
}

/** The table, or undefined where it does not exist. Throws `LanceError` where it exists and does not open. */
export async function findTable(
  db: Connection,
  ref: TableRef,
  signal: AbortSignal | undefined,
): Promise<Target | undefined> {
  return await callLance(`open the table "${refName(ref)}"`, signal, async () => {
    assertNamespaces(db, ref.namespacePath);
    let table: Table;
    try {
      table = await db.openTable(ref.name, [...ref.namespacePath]);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    return { table, schema: adoptSchema(await table.schema()), version: await table.version() };
  });
}

/**
 * Throws `ValidationError` where the namespace does not exist: LanceDB would make a table in it that it
 * then does not list.
 */
export async function requireNamespace(
  db: Connection,
  ref: TableRef,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (ref.namespacePath.length === 0) return;
  const path = [...ref.namespacePath];
  await callLance(`look up the namespace "${path.join("$")}"`, signal, async () => {
    try {
      await db.describeNamespace(path);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new ValidationError(
        `There is no namespace "${path.join("$")}"; create it first (createNamespace).`,
      );
    }
  });
}

/** Errors of LanceDB carry no code: only their text tells them apart. */
function isNotFound(error: unknown): boolean {
  return isError(error) && /^Table '.*' was not found|Namespace not found/s.test(error.message);
}

const MISSING_INDEX = /not found:.*\/_indices\//is;
const BROKEN_INDEX =
  " A file of an index is missing; the rows are all there. Drop that index (dropIndex) and create it again (createIndex); the doctor command names it.";

/**
 * Calls LanceDB. What it throws comes out as `LanceError` with the original as `cause`; our own errors
 * (the guard's connection raises them too) and the caller's abort reason come out unchanged.
 */
export async function callLance<T>(
  action: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BackupError || (signal?.aborted && error === signal.reason)) throw error;
    const reason = reasonOf(error);
    const advice = MISSING_INDEX.test(reason) ? BROKEN_INDEX : "";
    throw new LanceError(`LanceDB could not ${action}: ${reason}${advice}`, { cause: error });
  }
}
