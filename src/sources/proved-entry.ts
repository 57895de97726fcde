import { createHash } from "node:crypto";
import type { StoredEntry } from "../engine/snapshot.ts";
import { CorruptError } from "../errors.ts";

/** An entry's bytes. The last come only when all are known to be those that the snapshot says. */
export async function* proved(
  { path, sha256 }: Pick<StoredEntry, "path" | "sha256">,
  content: AsyncIterable<Uint8Array>,
  uri: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let held: Uint8Array | undefined;
  for await (const piece of content) {
    hash.update(piece);
    if (held) yield held;
    held = piece;
  }
  if (hash.digest("hex") !== sha256) {
    throw new CorruptError(`${path} of ${uri} differs from the snapshot: it is damaged.`, { path });
  }
  if (held) yield held;
}
