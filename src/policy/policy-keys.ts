import { UnsupportedError } from "../errors.ts";
import type { EncryptionSection } from "./policy-schema.ts";

/** The keys that open a policy's repository. @throws UnsupportedError */
export async function keysOf({ provider }: EncryptionSection): Promise<never> {
  throw new UnsupportedError(`This version cannot open repositories that are encrypted by ${provider}.`);
}
