import type { Decrypter } from "age-encryption";
import { describe } from "../../checks.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import type { JsonObject } from "../snapshot.ts";
import { MASTER_BYTES, type RepositoryKey, type SlotPlace } from "./repository-key.ts";

const KIND = "age";

/** Of an age file in a slot. One of 100 recipients has some 15,000. */
const MOST_CHARACTERS = 65_536;
const MOST_RECIPIENTS = 100;

/** X25519, which every version of age opens. Bech32: 32 bytes and a checksum. */
const RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/;
const IDENTITY = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/;

/**
 * A key that makes slots for those who hold the identities of these recipients (age-encryption.org, C2SP). It cannot open them:
 * for that there is `ageIdentity`. A slot holds an age file, which `age -d` opens too.
 *
 * @param recipients `age1…`, as `age-keygen` prints them; 1 to 100.
 * @throws ValidationError for what is none, also for recipients that are no X25519 ones: SSH keys, plugins, post-quantum ones.
 * @example
 * ```ts
 * await repository.keys.add(ageRecipients("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"));
 * ```
 */
export function ageRecipients(...recipients: readonly string[]): RepositoryKey {
  const own = [...new Set(recipients)];
  if (own.length === 0 || own.length > MOST_RECIPIENTS) {
    throw new ValidationError(
      `A key of age has 1 to ${MOST_RECIPIENTS} recipients, and this one ${own.length}.`,
    );
  }
  for (const recipient of own) assertRecipient(recipient);
  return { kind: KIND, wrap: (master) => encrypted(master, own) };
}

/**
 * A key that opens the slots of age recipients, and makes slots for itself.
 *
 * @param text what `age-keygen` has written: a line `AGE-SECRET-KEY-1…` for each identity; empty lines, and such as begin with `#`,
 *   are passed over.
 * @throws ValidationError for anything else, with the number of the line. What is in it is never shown.
 * @example
 * ```ts
 * const repository = await Repository.open("vault", { keys: [ageIdentity(readFileSync("key.txt", "utf8"))] });
 * ```
 */
export function ageIdentity(text: string): RepositoryKey {
  return new AgeIdentity(identitiesIn(text));
}

/** The recipients that a slot names. @see KeyOfSlot */
export function recipientsOfSlot(slot: JsonObject): RepositoryKey | undefined {
  const { recipients } = slot;
  if (!Array.isArray(recipients) || recipients.length === 0 || recipients.length > MOST_RECIPIENTS) {
    return undefined;
  }
  return recipients.every(isRecipient) ? ageRecipients(...recipients) : undefined;
}

interface Identity {
  readonly text: string;
  /** Of the file that it was in, from 1 on. */
  readonly line: number;
}

class AgeIdentity implements RepositoryKey {
  readonly kind = KIND;
  readonly #identities: readonly Identity[];

  constructor(identities: readonly Identity[]) {
    this.#identities = identities;
  }

  async wrap(master: Uint8Array): Promise<JsonObject> {
    const { identityToRecipient } = await import("age-encryption");
    const recipients = this.#identities.map(({ text, line }) =>
      identityToRecipient(text).catch(() => refuseLine(line)),
    );
    return encrypted(master, [...new Set(await Promise.all(recipients))]);
  }

  async unwrap(slot: JsonObject, place: SlotPlace): Promise<Uint8Array | undefined> {
    const { armor, Decrypter } = await import("age-encryption");
    const decrypter = new Decrypter();
    for (const identity of this.#identities) addIdentity(decrypter, identity);
    // It is asked where none of those before it has found a recipient of its own.
    let isForOthers = false;
    decrypter.addIdentity({
      unwrapFileKey() {
        isForOthers = true;
        return null;
      },
    });
    const { file: text } = slot;
    if (typeof text !== "string" || text.length > MOST_CHARACTERS) throw damaged(place);
    let master: Uint8Array;
    try {
      master = await decrypter.decrypt(armor.decode(text));
    } catch (error) {
      if (isForOthers) return undefined;
      throw damaged(place, error);
    }
    if (master.length !== MASTER_BYTES) throw damaged(place);
    return master;
  }
}

async function encrypted(master: Uint8Array, recipients: readonly string[]): Promise<JsonObject> {
  const { armor, Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (error) {
      throw new ValidationError(
        `${JSON.stringify(recipient)} is not an age recipient, or was mistyped: its checksum does not match.`,
        { cause: error },
      );
    }
  }
  return { recipients, file: armor.encode(await encrypter.encrypt(Uint8Array.from(master))) };
}

function isRecipient(value: unknown): value is string {
  return typeof value === "string" && RECIPIENT.test(value);
}

function assertRecipient(value: unknown): void {
  if (typeof value !== "string") {
    throw new TypeError(`An age recipient must be a text, not ${describe(value)}.`);
  }
  if (RECIPIENT.test(value)) return;
  // Whoever gives an identity in place of a recipient must not find it in a log.
  if (/secret/i.test(value)) {
    throw new ValidationError(
      "An age recipient begins with age1, and this is a secret key: use ageIdentity.",
    );
  }
  const advice = "give an X25519 one, age1… with 62 characters, as age-keygen prints it";
  throw new ValidationError(
    `${JSON.stringify(value.slice(0, 100))} is not an age recipient of the common kind: ${advice}.`,
  );
}

function identitiesIn(text: string): Identity[] {
  if (typeof text !== "string") {
    throw new TypeError(`An age identity must be the text of its file, not ${describe(text)}.`);
  }
  if (/^(-----BEGIN AGE|age-encryption\.org\/)/.test(text.trimStart())) {
    throw new ValidationError("The age identity is itself encrypted: decrypt it first, by age -d.");
  }
  const found: Identity[] = [];
  for (const [index, untrimmed] of text.split("\n").entries()) {
    const line = untrimmed.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (!IDENTITY.test(line)) refuseLine(index + 1);
    found.push({ text: line, line: index + 1 });
  }
  if (found.length > 0) return found;
  throw new ValidationError("There is no age identity in the text: no line begins with AGE-SECRET-KEY-1.");
}

function addIdentity(decrypter: Decrypter, { text, line }: Identity): void {
  try {
    decrypter.addIdentity(text);
  } catch {
    refuseLine(line); // without the cause: it quotes the identity
  }
}

function refuseLine(line: number): never {
  throw new ValidationError(
    `Line ${line} of the age identity was mistyped, or is of a kind that is not known here: it must be AGE-SECRET-KEY-1… as age-keygen writes it. SSH keys, plugins and post-quantum keys are not known.`,
  );
}

function damaged({ object }: SlotPlace, cause?: unknown): CorruptError {
  return new CorruptError(`${object} is damaged: it is not a slot of age recipients.`, {
    path: object,
    cause,
  });
}
