import { readFileSync } from "node:fs";
import { ValidationError } from "../errors.ts";
import { toReadError } from "../fs/io.ts";
import {
  ageIdentity,
  ageRecipients,
  awsKms,
  passphrase,
  type RepositoryKey,
  rawKey,
} from "../repository/index.ts";
import type { EncryptionSection } from "./policy-schema.ts";

/** Keys of a policy's repository: those that open it, and those that a new one gets. */
export interface PolicyKeys {
  readonly toOpen: readonly RepositoryKey[];
  readonly toMake: readonly RepositoryKey[];
}

/**
 * The keys that a policy names. Files are read each time: a key that was changed is taken up when the repository is opened
 * anew.
 *
 * @throws ValidationError, IoError. No message holds a secret.
 */
export function keysOf(section: EncryptionSection): PolicyKeys {
  if (section.provider === "age") return ageKeys(section);
  const keys = [keyOf(section)];
  return { toOpen: keys, toMake: keys };
}

function keyOf(section: EncryptionSection): RepositoryKey {
  const { provider, key_id: keyId, region, endpoint, password, password_file: passwordFile } = section;
  if (provider === "aws_kms" && keyId !== undefined) return awsKms(keyId, { region, endpoint });
  if (provider === "raw" && section.key_file !== undefined) return rawKey(bytesOf(section.key_file));
  if (provider === "passphrase" && passwordFile !== undefined) return passphrase(lineOf(passwordFile));
  if (provider === "passphrase" && password !== undefined) return passphrase(password);
  throw new ValidationError(`The encryption by ${provider} does not say which key.`);
}

function ageKeys({ identity_file: file, recipients = [] }: EncryptionSection): PolicyKeys {
  if (file === undefined) {
    throw new ValidationError(
      "Encryption by age needs an identity_file: recipients alone cannot open anything.",
    );
  }
  const identity = ageIdentity(bytesOf(file).toString("utf8"));
  const others = recipients.length > 0 ? [ageRecipients(...recipients)] : [];
  return { toOpen: [identity], toMake: [identity, ...others] };
}

const lineOf = (file: string) =>
  bytesOf(file)
    .toString("utf8")
    .replace(/\r?\n$/, "");

function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw toReadError(error, file);
  }
}
