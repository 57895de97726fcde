import { isNotFound } from "../../errors.ts";
import type { Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { AUDIT_HEAD, entryName, HEAD, parseEntryName } from "./audit-entry.ts";
import { auditNames, entriesOf, headOf, isUnreadable } from "./audit-log.ts";

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
  const { storage, logger, epoch } = place;
  const names = numbers ? [...numbers.map(entryName), AUDIT_HEAD] : [];
  if (!numbers) for await (const name of auditNames(storage, signal)) names.push(name);
  for (const name of names) {
    signal?.throwIfAborted();
    const number = parseEntryName(name);
    try {
      if (number !== undefined) await entriesOf(place).seal(number, epoch, { lock: true, signal });
      else if (name === AUDIT_HEAD) await headOf(place).seal(HEAD, epoch, { signal });
    } catch (error) {
      if (isNotFound(error)) continue; // removed by a retention
      if (!isUnreadable(error)) throw error;
      logger.warn("an object of the audit log cannot be re-encrypted", {
        path: `${storage.location}/${name}`,
        reason: error.message,
      });
    }
  }
}
