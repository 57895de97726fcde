/** The beginning of a value from a file, for messages; whatever it holds. */
export function shown(value: unknown): string {
  try {
    return JSON.stringify(value)?.slice(0, 100) ?? "nothing";
  } catch {
    return "something of great depth";
  }
}
