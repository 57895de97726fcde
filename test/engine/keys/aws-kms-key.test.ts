import { execFile } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { inspect, promisify } from "node:util";

import { describe, expect, test } from "vitest";
import { type AwsKmsOptions, awsKms } from "../../../src/engine/keys/aws-kms-key.ts";
import { MASTER_BYTES } from "../../../src/engine/keys/repository-key.ts";
import { CorruptError, IoError, ValidationError } from "../../../src/errors.ts";
import { KMS_REGION, type KmsServer, kmsServer } from "../../support/kms-server.ts";

const place = { repository: randomUUID(), epoch: 3, object: "keys/1.json" };
const master = randomBytes(MASTER_BYTES);

function at({ endpoint, credentials }: KmsServer, keyId: string, more: AwsKmsOptions = {}) {
  return awsKms(keyId, { endpoint, credentials, region: KMS_REGION, ...more });
}

async function newPlace() {
  const kms = await kmsServer();
  const arn = kms.newKey();
  const key = at(kms, arn);
  const slot = JSON.parse(JSON.stringify(await key.wrap?.(master, place)));
  return { kms, arn, key, slot };
}

describe("a slot of AWS KMS", () => {
  test("is made and opened by one call each, signed, with a context that names repository and epoch", async () => {
    const { kms, arn, key, slot } = await newPlace();
    expect(Buffer.from((await key.unwrap?.(slot, place)) ?? [])).toEqual(master);
    const EncryptionContext = { repository: place.repository, epoch: "3" };
    expect(kms.calls).toMatchObject([
      { action: "Encrypt", answer: "ok", body: { KeyId: arn, EncryptionContext } },
      { action: "Decrypt", answer: "ok", body: { KeyId: arn, EncryptionContext } },
    ]);
    expect(slot).toEqual({ keyId: arn, ciphertext: expect.any(String) });
    expect(Buffer.from(slot.ciphertext, "base64").includes(master)).toBe(false);
  });

  test("is opened by the key's id, its ARN or its alias", async () => {
    const kms = await kmsServer();
    const arn = kms.newKey("alias/backups");
    const slot = (await at(kms, "alias/backups").wrap?.(master, place)) ?? {};
    expect(slot["keyId"]).toBe(arn);
    for (const id of [arn, arn.split("/")[1] ?? "", "alias/backups"]) {
      expect(Buffer.from((await at(kms, id).unwrap?.(slot, place)) ?? []), id).toEqual(master);
    }
  });

  test("is not opened by another key, which is not even asked where the ids tell", async () => {
    const { kms, arn, slot } = await newPlace();
    const other = kms.newKey("alias/other");
    kms.setState(arn, undefined);
    const before = kms.calls.length;
    expect(await at(kms, other).unwrap?.(slot, place)).toBeUndefined();
    expect(kms.calls).toHaveLength(before);
    expect(await at(kms, "alias/other").unwrap?.(slot, place)).toBeUndefined();
    expect(kms.calls.at(-1)).toMatchObject({ answer: "IncorrectKeyException" });
  });

  test("is not opened by a key that the slot names, and who opens does not", async () => {
    const { kms, arn, slot } = await newPlace();
    const foreign = kms.newKey();
    const theirs = (await at(kms, foreign).wrap?.(randomBytes(MASTER_BYTES), place)) ?? {};
    const forged = { ...theirs, keyId: slot.keyId };
    expect(await at(kms, arn).unwrap?.(forged, place)).toBeUndefined();
    expect(await at(kms, arn).unwrap?.(theirs, place)).toBeUndefined();
  });

  test("of another repository or epoch, or with a bit flipped, is damage", async () => {
    const { key, slot } = await newPlace();
    const bytes = Buffer.from(slot.ciphertext, "base64");
    bytes[bytes.length - 1]! ^= 1;
    await expect(key.unwrap?.(slot, { ...place, epoch: 4 })).rejects.toThrow(CorruptError);
    await expect(key.unwrap?.(slot, { ...place, repository: randomUUID() })).rejects.toThrow(CorruptError);
    await expect(key.unwrap?.({ ...slot, ciphertext: bytes.toString("base64") }, place)).rejects.toThrow(
      "keys/1.json is damaged: KMS does not know it as a slot of this repository and epoch",
    );
  });

  test("that is none is damage, and KMS is not asked", async () => {
    const { kms, arn, key, slot } = await newPlace();
    for (const wrong of [
      {},
      { keyId: arn },
      { ...slot, ciphertext: "" },
      { ...slot, keyId: 7 },
      { ...slot, ciphertext: "A".repeat(9000) },
    ]) {
      await expect(key.unwrap?.(wrong, place)).rejects.toThrow(CorruptError);
    }
    expect(kms.calls).toHaveLength(1);
    const short = (await key.wrap?.(master.subarray(1), place)) ?? {};
    await expect(key.unwrap?.(short, place)).rejects.toThrow("holds 31 bytes instead of 32");
  });
});

describe("what KMS refuses", () => {
  test.each([
    [
      "AccessDeniedException",
      "access is denied; the policy of the key, and of who asks, must allow kms:Decrypt",
      "EACCES",
    ],
    ["NotFoundException", "there is no such key; look at its id", "EACCES"],
    ["DisabledException", "the key is disabled; enable it", "EACCES"],
    ["KMSInvalidStateException", "cancel that (aws kms cancel-key-deletion)", "EACCES"],
    ["InvalidKeyUsageException", "take a symmetric one", "EACCES"],
    ["ExpiredTokenException", "the credentials are not valid, or have expired", "EACCES"],
    ["SomethingNewException", "refused: SomethingNewException (SomethingNewException)", "EAGAIN"],
  ])("is said, with what to do, and not tried again: %s", async (code, advice, errno) => {
    const { kms, arn, key, slot } = await newPlace();
    kms.faults.push(code);
    const error = await key.unwrap?.(slot, place).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(IoError);
    expect(error).toMatchObject({ path: arn, errno, message: expect.stringContaining(advice) });
    expect(kms.calls.slice(1).map(({ answer }) => answer)).toEqual([code]);
  });

  test("by the key's state is said, until that is another", async () => {
    const { kms, arn, key, slot } = await newPlace();
    kms.setState(arn, "DisabledException");
    await expect(key.wrap?.(master, place)).rejects.toThrow("did not encrypt by the key");
    await expect(key.unwrap?.(slot, place)).rejects.toThrow(
      `did not decrypt by the key ${arn}: the key is disabled`,
    );
    kms.setState(arn, undefined);
    expect(Buffer.from((await key.unwrap?.(slot, place)) ?? [])).toEqual(master);
  });

  test.each(["ThrottlingException", "KMSInternalException", "cut"])(
    "for the moment is tried again: %s",
    async (fault) => {
      const { kms, key, slot } = await newPlace();
      kms.faults.push(fault, fault);
      expect(Buffer.from((await key.unwrap?.(slot, place)) ?? [])).toEqual(master);
      expect(kms.calls.slice(1).map(({ answer }) => answer)).toEqual([fault, fault, "ok"]);
    },
  );

  test("for ever is given up after four tries", async () => {
    const { kms, key, slot } = await newPlace();
    kms.faults.push(...new Array<string>(20).fill("ThrottlingException"));
    await expect(key.unwrap?.(slot, place)).rejects.toThrow(
      "it refuses so many requests, also after 4 tries; try again later",
    );
    expect(kms.calls).toHaveLength(5);
  });

  test("by the signature is a wrong secret or a wrong id", async () => {
    const { kms, arn, slot } = await newPlace();
    for (const wrong of [{ secretAccessKey: "wrong-secret-of-somebody" }, { accessKeyId: "AKIAOTHER" }]) {
      const credentials = { ...kms.credentials, ...wrong };
      const error = await at(kms, arn, { credentials })
        .unwrap?.(slot, place)
        .then(
          () => undefined,
          (caught: unknown) => caught,
        );
      expect(error).toMatchObject({
        errno: "EACCES",
        message: expect.stringContaining("the credentials are not valid"),
      });
      expect(inspect(error, { depth: 9 })).not.toContain("wrong-secret");
    }
  });

  test("by nobody being there is the network's", async () => {
    const { kms, arn, slot } = await newPlace();
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const key = at(kms, arn, { endpoint: `http://127.0.0.1:${port}` });
    await expect(key.unwrap?.(slot, place)).rejects.toMatchObject({
      errno: "EAGAIN",
      message: expect.stringContaining(
        "it cannot be reached; look at the network, the region and the endpoint (ECONNREFUSED)",
      ),
    });
  });
});

test("the region is that of the ARN where none is given, and credentials may come from a function", async () => {
  const { kms, arn, slot } = await newPlace();
  const { endpoint, credentials } = kms;
  const key = awsKms(arn, { endpoint, credentials: async () => credentials });
  expect(Buffer.from((await key.unwrap?.(slot, place)) ?? [])).toEqual(master); // the server refuses another region
});

test("what is no key of KMS is refused before anything is asked", () => {
  expect(() => awsKms("")).toThrow(ValidationError);
  expect(() => awsKms("a".repeat(2049))).toThrow(ValidationError);
  expect(() => awsKms(7 as never)).toThrow(TypeError);
  expect(() => awsKms("a", { regoin: "x" } as never)).toThrow('no option "regoin"');
  for (const endpoint of ["kms", "http://kms.example", "ftp://127.0.0.1", "http://127.0.0.1.example"]) {
    expect(() => awsKms("a", { endpoint })).toThrow("must be an https address");
  }
  for (const endpoint of ["https://kms.example", "http://localhost:4566", "http://[::1]:4566"]) {
    expect(awsKms("a", { endpoint }).kind).toBe("aws-kms");
  }
});

test("no secret is shown", () => {
  const credentials = { accessKeyId: "AKIATEST", secretAccessKey: "a-secret" };
  const key = awsKms("alias/a", { credentials });
  expect(inspect(key, { showHidden: true, depth: 9 }) + JSON.stringify(key)).not.toContain("a-secret");
});

test("without the SDK of AWS the error says what to install", async () => {
  const hide = `import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (name === "@aws-sdk/client-kms") throw Object.assign(new Error("not there"), { code: "ERR_MODULE_NOT_FOUND" });
      return next(name, context);
    } });`;
  const source = new URL("../../../src/engine/keys/aws-kms-key.ts", import.meta.url).href;
  const program = `import { awsKms } from ${JSON.stringify(source)};
    await awsKms("alias/a").wrap(new Uint8Array(32), { repository: "r", epoch: 1 }).catch(({ code, message }) => console.log(code, message));`;
  const args = [
    "--import",
    `data:text/javascript,${encodeURIComponent(hide)}`,
    "--input-type=module",
    "-e",
    program,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toContain("UNSUPPORTED Keys in AWS KMS need the AWS SDK");
  expect(stdout).toContain("npm install @aws-sdk/client-kms");
});
