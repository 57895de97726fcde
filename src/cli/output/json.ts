/** One JSON value as `--json` prints it: times are ISO 8601 in UTC, errors have name, code and message. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, replacer, 2);
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) {
    const code = "code" in value ? value.code : undefined;
    return { name: value.name, code, message: value.message };
  }
  if (value instanceof Map) return Object.fromEntries(value);
  return value;
}
