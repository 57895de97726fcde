import { types } from "node:util";
import { isError } from "../../fs/io.ts";
/** One JSON value as `--json` prints it: times are ISO 8601 in UTC, errors have name, code and message. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, replacer, 2);
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (isError(value)) {
    const code = "code" in value ? value.code : undefined;
    return { name: value.name, code, message: value.message };
  }
  if (types.isMap(value)) return Object.fromEntries(value);
  return value;
}
