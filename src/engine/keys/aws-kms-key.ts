import type * as Sdk from "@aws-sdk/client-kms";
import { assertKnown, describe } from "../../checks.ts";
import { CorruptError, IoError, UnsupportedError, ValidationError } from "../../errors.ts";
import { isError, reasonOf } from "../../fs/io.ts";
import { isNotInstalled } from "../../util/not-installed.ts";
import type { JsonObject } from "../snapshot.ts";
import { type KeyPlace, MASTER_BYTES, type RepositoryKey, type SlotPlace } from "./repository-key.ts";

const KIND = "aws-kms";

/** What KMS answers with at most, in base64. */
const MOST_CHARACTERS = 8192;
const MOST_KEY_ID_CHARACTERS = 2048;

/** Of one call, with the tries that the SDK makes by itself: throttling, 5xx, connections that are cut. */
const TRIES = 4;
const CONNECT_MS = 10_000;
const ANSWER_MS = 30_000;

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface AwsKmsOptions {
  /** Default: that of the key's ARN, or else what AWS_REGION or the profile says. */
  readonly region?: string | undefined;
  /** Of something that speaks KMS's language, as a URL. It must be https, or on this machine: the master goes there. Default: AWS. */
  readonly endpoint?: string | undefined;
  /** Of the files in ~/.aws. Default: AWS_PROFILE. */
  readonly profile?: string | undefined;
  /** Default: where the SDK of AWS finds them: the environment, files, SSO, the role of a machine or container. */
  readonly credentials?: AwsCredentials | (() => Promise<AwsCredentials>) | undefined;
}

/**
 * A symmetric key in AWS KMS. A slot is made by one call of Encrypt and opened by one of Decrypt, both with the encryption context
 * `{ repository, epoch }`, by which a policy can allow it for one repository (`kms:EncryptionContext:repository`), and which
 * CloudTrail shows. KMS alone knows the key: when that is deleted, its slots are lost. So keep a second key, such as `recoveryKey()`.
 *
 * Needs the package `@aws-sdk/client-kms`, which is loaded when the key is used.
 *
 * @param keyId id, ARN, alias or ARN of an alias. Slots of any other key are not opened by it.
 * @throws ValidationError for an empty id, an endpoint that is none, or options that there are not.
 * @example
 * ```ts
 * const keys = [awsKms("alias/backups", { region: "eu-central-1" }), recoveryKey()];
 * const repository = await Repository.init("vault", { encryption: { keys } });
 * ```
 */
export function awsKms(keyId: string, options: AwsKmsOptions = {}): RepositoryKey {
  return new AwsKmsKey(keyId, options);
}

class AwsKmsKey implements RepositoryKey {
  readonly kind = KIND;
  readonly #keyId: string;
  readonly #options: AwsKmsOptions;

  constructor(keyId: string, options: AwsKmsOptions) {
    if (typeof keyId !== "string") {
      throw new TypeError(`The id of a KMS key must be a text, not ${describe(keyId)}.`);
    }
    if (!isKeyId(keyId)) throw new ValidationError("The id of a KMS key is empty, or too long for one.");
    assertKnown(options, "awsKms", { region: true, endpoint: true, profile: true, credentials: true });
    assertEndpoint(options.endpoint);
    this.#keyId = keyId;
    this.#options = { ...options };
  }

  async wrap(master: Uint8Array, place: KeyPlace): Promise<JsonObject> {
    const { CiphertextBlob, KeyId } = await this.#ask("Encrypt", place, (client, sdk, request) =>
      client.send(new sdk.EncryptCommand({ ...request, Plaintext: master })),
    );
    if (!CiphertextBlob || !isKeyId(KeyId))
      throw this.#failure("Encrypt", "it answered without a ciphertext");
    return { keyId: KeyId, ciphertext: Buffer.from(CiphertextBlob).toString("base64") };
  }

  async unwrap(slot: JsonObject, place: SlotPlace): Promise<Uint8Array | undefined> {
    const { keyId, ciphertext: text } = slot;
    if (!isKeyId(keyId) || typeof text !== "string" || text === "" || text.length > MOST_CHARACTERS) {
      throw damaged(place, "it is no slot of AWS KMS");
    }
    if (isAnother(keyId, this.#keyId)) return undefined;
    let master: Uint8Array | undefined;
    try {
      const answer = await this.#ask("Decrypt", place, (client, sdk, request) =>
        // By our own key's id, never the slot's: whoever can write slots could name a key of theirs.
        client.send(new sdk.DecryptCommand({ ...request, CiphertextBlob: Buffer.from(text, "base64") })),
      );
      master = answer.Plaintext;
    } catch (error) {
      const refused = codeOf(isError(error) ? error.cause : error);
      if (refused === "IncorrectKeyException") return undefined;
      if (refused !== "InvalidCiphertextException") throw error;
      throw damaged(place, "KMS does not know it as a slot of this repository and epoch", error);
    }
    if (master?.length === MASTER_BYTES) return master;
    throw damaged(place, `it holds ${master?.length ?? 0} bytes instead of ${MASTER_BYTES}`);
  }

  async #ask<Answer>(
    action: Action,
    { repository, epoch }: KeyPlace,
    send: (client: Sdk.KMSClient, sdk: typeof Sdk, request: Request) => Promise<Answer>,
  ): Promise<Answer> {
    const sdk = await loadSdk();
    const { region = regionOf(this.#keyId), endpoint, profile, credentials } = this.#options;
    const client = new sdk.KMSClient({
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
      ...(profile !== undefined && { profile }),
      ...(credentials !== undefined && { credentials: toSdk(credentials) }),
      maxAttempts: TRIES,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        requestTimeout: ANSWER_MS,
        throwOnRequestTimeout: true, // without it, a request that takes longer is a warning
      },
    });
    const context = { repository, epoch: String(epoch) };
    try {
      return await send(client, sdk, { KeyId: this.#keyId, EncryptionContext: context });
    } catch (error) {
      throw this.#failure(action, adviceFor(error, action), error);
    } finally {
      client.destroy();
    }
  }

  #failure(action: Action, why: string, cause?: unknown): IoError {
    const code = codeOf(cause);
    const said = code === "" ? "" : ` (${code})`;
    return new IoError(`AWS KMS did not ${action.toLowerCase()} by the key ${this.#keyId}: ${why}${said}.`, {
      path: this.#keyId,
      errno: REFUSALS.has(code) ? "EACCES" : "EAGAIN",
      cause,
    });
  }
}

type Action = "Encrypt" | "Decrypt";

interface Request {
  readonly KeyId: string;
  readonly EncryptionContext: Record<string, string>;
}

const CREDENTIALS =
  "the credentials are not valid, or have expired; look at AWS_PROFILE, AWS_ACCESS_KEY_ID or the role";
const REGION = "look at its id, at the account, and at the region";
const BUSY = "it is overloaded or has a failure; try again later";
const NETWORK = "it cannot be reached; look at the network, the region and the endpoint";

/** What to do, by the code of an answer or of the network. */
const ADVICE: Readonly<Record<string, string>> = {
  NotFoundException: `there is no such key; ${REGION}`,
  InvalidArnException: `that is not the ARN of a key; ${REGION}`,
  DisabledException:
    "the key is disabled; enable it (aws kms enable-key), or open by another key of the repository",
  KMSInvalidStateException:
    "the key is about to be deleted, or not ready; cancel that (aws kms cancel-key-deletion) and enable it, or open by another key of the repository",
  InvalidKeyUsageException:
    "the key is not for encryption; take a symmetric one (aws kms create-key makes one)",
  UnrecognizedClientException: CREDENTIALS,
  InvalidClientTokenId: CREDENTIALS,
  InvalidSignatureException: CREDENTIALS,
  SignatureDoesNotMatch: CREDENTIALS,
  ExpiredTokenException: CREDENTIALS,
  CredentialsProviderError:
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role",
  ThrottlingException: `it refuses so many requests, also after ${TRIES} tries; try again later`,
  LimitExceededException: `it refuses so many requests, also after ${TRIES} tries; try again later`,
  KMSInternalException: BUSY,
  DependencyTimeoutException: BUSY,
  KeyUnavailableException: BUSY,
  InternalFailure: BUSY,
  ServiceUnavailable: BUSY,
  ECONNREFUSED: NETWORK,
  ECONNRESET: NETWORK,
  ENOTFOUND: NETWORK,
  EAI_AGAIN: NETWORK,
  TimeoutError: NETWORK,
};

/** What will be refused again, however often it is tried. */
const REFUSALS: ReadonlySet<string> = new Set([
  "AccessDeniedException",
  "NotFoundException",
  "InvalidArnException",
  "DisabledException",
  "KMSInvalidStateException",
  "InvalidKeyUsageException",
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "SignatureDoesNotMatch",
  "ExpiredTokenException",
  "CredentialsProviderError",
]);

function adviceFor(error: unknown, action: Action): string {
  const code = codeOf(error);
  if (code === "AccessDeniedException") {
    return `access is denied; the policy of the key, and of who asks, must allow kms:${action} with the encryption context of this repository`;
  }
  const reason = reasonOf(error);
  if (/^Region is missing/.test(reason)) return "no region is known; give `region`, an ARN, or AWS_REGION";
  return ADVICE[code] ?? reason;
}

function codeOf(error: unknown): string {
  if (!isError(error)) return "";
  const { name } = error;
  if (name !== "Error" && name !== "TimeoutError") return name;
  return "code" in error && typeof error.code === "string" ? error.code : name === "Error" ? "" : name;
}

function isKeyId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MOST_KEY_ID_CHARACTERS;
}

/**
 * Whether two ids are surely those of two keys: nothing need be asked then. Of an alias nobody but KMS knows. Replicas of a key in several
 * regions have one id.
 */
function isAnother(slotKey: string, ownKey: string): boolean {
  const [slot, own] = [slotKey, ownKey].map((id) => id.replace(/^arn:.*?:key\//, ""));
  return !slot?.includes("alias/") && !own?.includes("alias/") && slot !== own;
}

function regionOf(keyId: string): string | undefined {
  return /^arn:[^:]*:kms:([^:]+):/.exec(keyId)?.[1];
}

function assertEndpoint(endpoint: string | undefined): void {
  if (endpoint === undefined) return;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isHere = url && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isHere)) return;
  throw new ValidationError(
    `The endpoint of a KMS must be an https address, not ${JSON.stringify(endpoint)}: the repository's key goes there. (http is for this machine alone.)`,
  );
}

function toSdk(credentials: NonNullable<AwsKmsOptions["credentials"]>) {
  const plain = ({ accessKeyId, secretAccessKey, sessionToken }: AwsCredentials) => ({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken !== undefined && { sessionToken }),
  });
  return typeof credentials === "function" ? async () => plain(await credentials()) : plain(credentials);
}

function damaged({ object }: SlotPlace, why: string, cause?: unknown): CorruptError {
  return new CorruptError(`${object} is damaged: ${why}.`, { path: object, cause });
}

async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import("@aws-sdk/client-kms");
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    throw new UnsupportedError(
      "Keys in AWS KMS need the AWS SDK, which is not installed: npm install @aws-sdk/client-kms",
      { cause: error },
    );
  }
}
