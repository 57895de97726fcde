import type { CreateTableOptions } from "@lancedb/lancedb";

/** A call of `createTable` or `createEmptyTable`, which take their arguments in several ways. */
export interface Creation {
  readonly name: string;
  readonly path: readonly string[];
  /** What becomes of a table that is there: LanceDB refuses, writes over it, or opens it. */
  readonly mode: "create" | "overwrite" | "open";
  /** The arguments with which LanceDB refuses where the table is there. */
  readonly refusing: readonly unknown[];
}

type Options = Partial<CreateTableOptions>;

export function creationOf(args: readonly unknown[]): Creation {
  const [first, second, third, fourth] = args;
  if (isObject(first) && "name" in first) {
    const { name } = first;
    return { name: String(name), ...more(second, first), refusing: [{ ...first, existOk: false }, second] };
  }
  const isPath = Array.isArray(third);
  const options = (isPath ? fourth : third) as Options | undefined;
  const refused = { ...options, existOk: false };
  const refusing = isPath ? [first, second, third, refused] : [first, second, refused];
  return { name: String(first), ...more(isPath ? third : undefined, options), refusing };
}

function more(path: unknown, options: Options | undefined): Pick<Creation, "path" | "mode"> {
  const { mode = "create", existOk = false } = options ?? {};
  return {
    path: Array.isArray(path) ? path.map(String) : [],
    mode: mode === "create" && existOk ? "open" : mode,
  };
}

function isObject(value: unknown): value is Options & { readonly name?: unknown } {
  return typeof value === "object" && value !== null;
}
