import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
  randomUUID,
  timingSafeEqual,
} from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/**
 * A KMS on loopback that speaks AWS's protocol: it checks the signature (SigV4), encrypts by AES-256-GCM under a secret of each key,
 * holds to the encryption context, and refuses what it is told to.
 */
export interface KmsServer {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Makes a key, and answers with its ARN. */
  newKey(alias?: string): string;
  /** What the key's state makes of each call of it; undefined: it is enabled. */
  setState(arn: string, code: "DisabledException" | "KMSInvalidStateException" | undefined): void;
  /** What comes of the next calls, in order: a code of KMS, or the connection is cut. */
  readonly faults: string[];
  readonly calls: readonly KmsCall[];
}

export interface KmsCall {
  readonly action: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** `ok`, or the code that was answered. */
  readonly answer: string;
}

interface Key {
  readonly arn: string;
  readonly secret: Buffer;
  state?: string | undefined;
}

class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`refused: ${code}`);
    this.code = code;
  }
}

export const KMS_REGION = "eu-test-1";
const STATUS: Readonly<Record<string, number>> = {
  KMSInternalException: 500,
  DependencyTimeoutException: 503,
};

export async function kmsServer(): Promise<KmsServer> {
  const keys = new Map<string, Key>(); // by id, ARN, alias
  const credentials = { accessKeyId: "AKIATEST", secretAccessKey: randomBytes(20).toString("hex") };
  const [faults, calls]: [string[], KmsCall[]] = [[], []];

  const server = createServer((incoming, answer) => {
    void handle(incoming, answer).catch(() => answer.destroy());
  });

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    const action = String(incoming.headers["x-amz-target"]).replace("TrentService.", "");
    const body = JSON.parse(bytes.toString()) as Record<string, unknown>;
    const fault = faults.shift();
    const tell = (code: string) => calls.push({ action, body, answer: code });
    if (fault === "cut") {
      tell(fault);
      return void answer.destroy();
    }
    answer.setHeader("content-type", "application/x-amz-json-1.1");
    try {
      assertSigned(incoming, bytes, credentials);
      if (fault !== undefined) throw new Refusal(fault);
      const result = action === "Encrypt" ? encrypt(keys, body) : decrypt(keys, action, body);
      tell("ok");
      answer.end(JSON.stringify(result));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      tell(error.code);
      answer.statusCode = STATUS[error.code] ?? 400;
      answer.end(JSON.stringify({ __type: error.code, message: error.message }));
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials,
    faults,
    calls,
    newKey(alias) {
      const id = randomUUID();
      const key: Key = { arn: `arn:aws:kms:${KMS_REGION}:111122223333:key/${id}`, secret: randomBytes(32) };
      for (const name of [id, key.arn, ...(alias === undefined ? [] : [alias])]) keys.set(name, key);
      return key.arn;
    },
    setState(arn, code) {
      const key = keys.get(arn);
      if (key) key.state = code;
    },
  };
}

function keyFor(keys: ReadonlyMap<string, Key>, id: unknown): Key {
  const key = keys.get(String(id));
  if (!key) throw new Refusal("NotFoundException");
  if (key.state !== undefined) throw new Refusal(key.state);
  return key;
}

/** Sorted, as KMS binds it. */
const contextOf = (body: Record<string, unknown>): Buffer =>
  Buffer.from(JSON.stringify(Object.entries(body["EncryptionContext"] ?? {}).sort()));

function encrypt(keys: ReadonlyMap<string, Key>, body: Record<string, unknown>): object {
  const key = keyFor(keys, body["KeyId"]);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key.secret, nonce).setAAD(contextOf(body));
  const sealed = [cipher.update(String(body["Plaintext"]), "base64"), cipher.final()];
  const id = Buffer.from(key.arn);
  const blob = Buffer.concat([Buffer.from([id.length]), id, nonce, cipher.getAuthTag(), ...sealed]);
  return {
    KeyId: key.arn,
    CiphertextBlob: blob.toString("base64"),
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
  };
}

function decrypt(keys: ReadonlyMap<string, Key>, action: string, body: Record<string, unknown>): object {
  if (action !== "Decrypt") throw new Refusal("UnknownOperationException");
  const blob = Buffer.from(String(body["CiphertextBlob"]), "base64");
  const at = 1 + (blob[0] ?? 0);
  const made = keys.get(blob.toString("utf8", 1, at));
  if (!made) throw new Refusal("InvalidCiphertextException");
  if (keyFor(keys, body["KeyId"] ?? made.arn) !== made) throw new Refusal("IncorrectKeyException");
  try {
    const decipher = createDecipheriv("aes-256-gcm", made.secret, blob.subarray(at, at + 12));
    decipher.setAAD(contextOf(body)).setAuthTag(blob.subarray(at + 12, at + 28));
    const plain = Buffer.concat([decipher.update(blob.subarray(at + 28)), decipher.final()]);
    return { KeyId: made.arn, Plaintext: plain.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
  } catch {
    throw new Refusal("InvalidCiphertextException");
  }
}

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();

/** As AWS's "Signature Version 4" has it: over method, path, the headers that it names, and the body. */
function assertSigned(
  { headers, method = "", url = "" }: IncomingMessage,
  body: Buffer,
  { accessKeyId, secretAccessKey }: KmsServer["credentials"],
): void {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/kms\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;
  const [, id, day = "", region = "", names = "", signature = ""] =
    pattern.exec(headers.authorization ?? "") ?? [];
  if (id === undefined) throw new Refusal("MissingAuthenticationTokenException");
  if (id !== accessKeyId) throw new Refusal("UnrecognizedClientException");
  if (!names.split(";").includes("host") || region !== KMS_REGION)
    throw new Refusal("InvalidSignatureException");
  const signed = names
    .split(";")
    .map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, " ")}\n`);
  const request = [method, url, "", signed.join(""), names, sha256(body)].join("\n");
  const scope = `${day}/${region}/kms/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(request)].join("\n");
  const key = [day, region, "kms", "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const isRight = timingSafeEqual(hmac(key, text), Buffer.from(signature, "hex"));
  if (!isRight) throw new Refusal("InvalidSignatureException");
}
