import type { Compression } from "../engine/codec/encode-blob.ts";
import { listKeyObjects } from "../engine/keys/key-objects.ts";
import type { KeyRing } from "../engine/keys/key-ring.ts";
import { assertKeys } from "../engine/keys/repository-key.ts";
import { parseSlotName } from "../engine/keys/slot.ts";
import { createMarker, type RepositoryMarker } from "../engine/marker.ts";
import { ValidationError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Storage } from "../storage/storage.ts";
import type { InitOptions, KeysOption } from "./repository-options.ts";

const DEFAULT_COMPRESSION: Compression = { algorithm: "zstd", level: 3 };

/** Marks a repository, and makes its keys where it is to be encrypted. @throws as `createMarker` */
export async function makeRepository(
  place: { readonly storage: Storage; readonly logger: Logger },
  options: Pick<InitOptions, "compression" | "encryption" | "unsafeNoExclusive">,
): Promise<{ readonly marker: RepositoryMarker; readonly ring: KeyRing | undefined }> {
  const { storage, logger } = place;
  const { encryption, unsafeNoExclusive } = options;
  const isPlain = storage.local !== undefined && !encryption;
  const compression = options.compression ?? (isPlain ? undefined : DEFAULT_COMPRESSION);
  let ring: KeyRing | undefined;
  const makeKeys = async (id: string) => {
    const { KeyRing } = await import("../engine/keys/key-ring.ts");
    ring = await KeyRing.create(place, id, encryption?.keys ?? []);
    return { epoch: 1, check: ring.current.check };
  };
  try {
    const how = { compression, unsafeNoExclusive, ...(encryption && { makeKeys }) };
    const marker = await createMarker(storage, how);
    if (ring) {
      const { warnOfClouds } = await import("../engine/keys/manage-keys.ts");
      await warnOfClouds({ storage, logger, ring });
    }
    return { marker, ring };
  } catch (error) {
    await ring?.discard(); // somebody else has made the repository meanwhile
    throw error;
  }
}

/**
 * Opens the keys of a repository that says it is encrypted; where its mark is lost, that has key slots.
 *
 * @throws ValidationError where keys are given for one that is not, or none of them opens it. @throws CorruptError, IoError
 */
export async function openKeys(
  place: { readonly storage: Storage; readonly logger: Logger },
  marker: RepositoryMarker | undefined,
  keys: KeysOption | undefined,
): Promise<KeyRing | undefined> {
  const isAsked = typeof keys === "function";
  if (keys !== undefined && !isAsked) assertKeys(keys, "keys");
  const { location } = place.storage;
  const isEncrypted = marker ? marker.encryption !== undefined : await hasSlots(place.storage);
  if (isEncrypted) {
    const first = marker?.encryption ?? { epoch: 1, check: undefined };
    const { KeyRing } = await import("../engine/keys/key-ring.ts");
    const given = isAsked ? await keys() : (keys ?? []);
    assertKeys(given, "keys");
    return KeyRing.open(place, { first, repository: marker?.id }, given);
  }
  if (keys === undefined || isAsked || keys.length === 0) return undefined;
  // Somebody else may have put a plain repository in its place, so as to read what is written next.
  throw new ValidationError(
    `${location} is not encrypted, and a key was given for it. Leave the key out, if it is the repository that you mean and was never encrypted.`,
  );
}

async function hasSlots(storage: Storage): Promise<boolean> {
  return [...(await listKeyObjects(storage)).keys()].some((name) => parseSlotName(name) !== undefined);
}
