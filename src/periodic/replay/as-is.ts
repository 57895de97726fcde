import type { Table } from "@lancedb/lancedb";
import { arrow } from "../../arrow/arrow.ts";

/** Under this key of a schema's metadata LanceDB's client finds the functions that make its vectors. */
const FUNCTIONS = "embedding_functions";

/**
 * A handle that writes rows as they are. LanceDB's client looks at the schema of a table before it adds or
 * merges: where embedding functions are named there, it makes vectors for rows that have none, and fails where
 * a function is not registered in this process. To this handle's writes the schema names none. Nothing in the
 * table changes by that. For handles of one's own only.
 */
export function writingAsIs(table: Table): Table {
  const stated = table.schema.bind(table);
  const schema = async () => {
    const { fields, metadata } = await stated();
    const others = [...metadata].filter(([key]) => key !== FUNCTIONS);
    return new arrow.Schema(fields, new Map(others));
  };
  return Object.defineProperty(table, "schema", { value: schema });
}
