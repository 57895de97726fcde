import { isStray } from "../fs/safe-names.ts";

/** What LanceDB takes for a tag's name, and `.json`. */
const TAG_FILE = /^([\p{L}\p{N}._-]+)\.json$/u;

/** The tag that a file of `_refs/tags/` is; undefined for what is none, as a conflict's copy of one. */
export function tagOfFile(name: string): string | undefined {
  return isStray(name) ? undefined : TAG_FILE.exec(name)?.[1];
}

/** What a tag's file says. */
export interface Tag {
  /** NaN where it cannot be told. */
  readonly version: number;
  /** The branch whose version it is; undefined for the main line. */
  readonly branch: string | undefined;
}

export function parseTag(content: Buffer): Tag {
  try {
    const tag = JSON.parse(content.toString("utf8")) as { version?: unknown; branch?: unknown } | null;
    return {
      version: Number(tag?.version),
      branch: typeof tag?.branch === "string" ? tag.branch : undefined,
    };
  } catch {
    return { version: Number.NaN, branch: undefined };
  }
}

/** The version of the main line that a tag's file names; NaN where it names none. */
export function versionOfTag(content: Buffer): number {
  const { version, branch } = parseTag(content);
  return branch === undefined ? version : Number.NaN;
}
