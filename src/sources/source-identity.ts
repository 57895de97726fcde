import { createHash } from "node:crypto";
import { realPath } from "../fs/local-path.ts";

// Which source it is, where nothing can be kept in it: made of the place, without the host.

/** `<type>:` and 32 digits of the SHA-256 of the real path. Mounted elsewhere it is another: `sourceId` makes it the same. */
export function identityOfPath(type: string, path: string): string {
  return `${type}:${digest(realPath(path))}`;
}

/** Of anything else that tells it from others. */
export function identityOf(type: string, what: readonly string[]): string {
  return `${type}:${digest(JSON.stringify(what))}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
