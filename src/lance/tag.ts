/** The version that a tag's file names; NaN where it cannot be told. */
export function versionOfTag(content: Buffer): number {
  try {
    const tag = JSON.parse(content.toString("utf8")) as { version?: unknown } | null;
    return Number(tag?.version);
  } catch {
    return Number.NaN;
  }
}
