import type { Field, Float, Schema } from "apache-arrow";
import { valuesOf } from "../../arrow/codecs.ts";
import { sameLayout } from "../../arrow/conform.ts";
import { isRecord } from "../../arrow/nested-codecs.ts";
import { adoptSchema, sameSchema } from "../../arrow/schemas.ts";
import { ValidationError } from "../../errors.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import {
  declaredEmbeddings,
  EMBEDDINGS_KEY,
  Embedder,
  type Embedding,
  floatType,
  withEmbedding,
} from "./embed-rows.ts";
import { inferSchema } from "./infer-schema.ts";
import type { Feed } from "./row-source.ts";
import type { Target } from "./target-table.ts";
import { keyFields } from "./unique-keys.ts";

/** What the rows do to the table. */
type WriteAction =
  /** Make the table of them. */
  | "create"
  | "append"
  /** Replace all rows; the table's columns stay. */
  | "overwrite"
  /** Replace all rows and the columns too. */
  | "recreate"
  /** Upsert: update the rows with the same key, insert the others. */
  | "update"
  /** Insert the rows whose key is new, leave the others as they are. */
  | "keep";

export interface WriteIntent {
  /** Empty: no upsert. */
  readonly mergeOn: readonly string[];
  readonly whenMatched: "update" | "keep";
  readonly mode: "append" | "overwrite";
  readonly embedding: Embedding | undefined;
  /** Vectors that are null stay so, also where the table declares an embedding. */
  readonly asGiven?: boolean | undefined;
}

export interface WritePlan {
  readonly action: WriteAction;
  readonly schema: Schema;
  readonly mergeOn: readonly string[];
  readonly embedders: readonly Embedder[];
  /** The table declares embeddings itself. LanceDB then writes null into columns that the rows leave out. */
  readonly declaresEmbeddings: boolean;
}

/**
 * Which columns a chunk has: all of the table's, those that any of its rows names, or, for an update, the
 * very columns that each row names, with a chunk for each set of columns.
 */
export function columnsToWrite(plan: WritePlan): "all" | "any row's" | "each row's" {
  if (plan.action === "update") return "each row's";
  if (plan.action === "append" || plan.action === "keep")
    return plan.declaresEmbeddings ? "all" : "any row's";
  return "all";
}

/** Decides what to do, from the table as it is (or is not) and the beginning of the data. */
export async function planWrite(
  lancedb: LanceDB,
  target: Target | undefined,
  feed: Feed,
  intent: WriteIntent,
): Promise<WritePlan> {
  await lancedb.assertOneArrow();
  const action = actionFor(target, feed, intent);
  const schema =
    action === "create" || action === "recreate" || target === undefined
      ? await newSchema(lancedb, feed, intent.embedding)
      : target.schema;
  refuseTwins(schema.fields);
  keyFields(intent.mergeOn, schema.fields);
  const declared = await declaredEmbeddings(lancedb, schema);
  const given = intent.embedding === undefined ? [] : [intent.embedding];
  const vectors = new Set(given.map((option) => option.vector ?? "vector"));
  const options = [...given, ...declared.filter((option) => !vectors.has(option.vector ?? "vector"))];
  return {
    action,
    schema,
    mergeOn: intent.mergeOn,
    embedders: intent.asGiven ? [] : options.map((option) => new Embedder(option, schema)),
    declaresEmbeddings: schema.metadata.has(EMBEDDINGS_KEY),
  };
}

function actionFor(target: Target | undefined, feed: Feed, intent: WriteIntent): WriteAction {
  if (target === undefined) return "create";
  if (intent.mergeOn.length > 0) return intent.whenMatched;
  if (intent.mode === "append") return "append";
  const [first] = feed.head;
  return first?.kind === "batch" && !fits(first.batch.schema, target.schema) ? "recreate" : "overwrite";
}

/** Whether data of this schema can be written into the table's columns as they are. */
function fits(schema: Schema, table: Schema): boolean {
  return schema.fields.every((field) => {
    const column = table.fields.find((candidate) => candidate.name === field.name);
    return column !== undefined && sameLayout(field.type, column.type);
  });
}

async function newSchema(lancedb: LanceDB, feed: Feed, option: Embedding | undefined): Promise<Schema> {
  await feed.lookAhead();
  const [first] = feed.head;
  const rows = feed.head.flatMap((piece) => (piece.kind === "rows" ? [piece.rows] : [])).flat();
  const vectors = new Map<string, Float>();
  if (option !== undefined) vectors.set(option.vector ?? "vector", floatType(option.function));
  const schema =
    first?.kind === "batch"
      ? adoptSchema(first.batch.schema)
      : inferSchema(await lancedb.api(), rows, vectors);
  if (option === undefined) return schema;
  return await withEmbedding(lancedb, schema, option, sampleOf(feed, option.source));
}

/** Some values of a column, from the beginning of the data. */
function sampleOf(feed: Feed, column: string): unknown[] {
  const values: unknown[] = [];
  for (const piece of feed.head) {
    if (piece.kind === "rows") {
      for (const row of piece.rows) values.push(isRecord(row) ? row[column] : undefined);
    } else {
      const index = piece.batch.schema.fields.findIndex((field) => field.name === column);
      const data = piece.batch.data.children[index];
      if (data !== undefined) for (const value of valuesOf(data)) values.push(value);
    }
    if (values.some((value) => value !== null && value !== undefined)) break;
  }
  return values;
}

function refuseTwins(fields: readonly Field[]): void {
  const names = new Set<string>();
  for (const { name } of fields) {
    if (names.has(name)) throw new ValidationError(`There are two columns named ${JSON.stringify(name)}.`);
    names.add(name);
  }
}

/** Whether two states of a table, or of none, ask for the same plan. */
export function samePlan(before: Target | undefined, now: Target | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  return sameSchema(before.schema, now.schema);
}
