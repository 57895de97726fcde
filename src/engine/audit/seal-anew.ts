import { isNotFound } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type DocumentCodec, epochOfDocument } from "../codec/document-codec.ts";
import { readSmall } from "../read-small.ts";
import { AUDIT_HEAD, entryName, sealIdOf } from "./audit-entry.ts";
import { auditNames, isUnreadable } from "./audit-log.ts";

/**
 * Seals entries by the keys of the newest epoch, in the place of those before: they say the same, and the chain stays. One that cannot
 * be read stays as it is, with a warning.
 *
 * @param epoch the newest. @param numbers of entries. Default: all, and the head.
 */
export async function sealAnew(
  place: {
    readonly storage: Storage;
    readonly logger: Logger;
    readonly documents: DocumentCodec;
    readonly epoch: number;
  },
  numbers?: readonly number[],
  signal?: AbortSignal,
): Promise<void> {
  const { storage, logger, documents, epoch } = place;
  const names = numbers ? [...numbers.map(entryName), AUDIT_HEAD] : [];
  if (!numbers) for await (const name of auditNames(storage, signal)) names.push(name);
  for (const name of names) {
    const id = sealIdOf(name);
    if (id === undefined) continue;
    signal?.throwIfAborted();
    const at = `${storage.location}/${name}`;
    try {
      const object = await readSmall(storage, name, signal);
      if (epochOfDocument(object, at) === epoch) continue;
      const content = await documents.open(object, id, at);
      await storage.write(name, documents.seal(content, id), { lock: name !== AUDIT_HEAD, signal });
    } catch (error) {
      if (isNotFound(error)) continue; // removed by a retention
      if (!isUnreadable(error)) throw error;
      logger.warn("an object of the audit log cannot be encrypted anew", { path: at, reason: error.message });
    }
  }
}
