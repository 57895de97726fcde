import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { expect, test } from "vitest";
import { IoError } from "../../../src/errors.ts";
import {
  ageIdentity,
  ageRecipients,
  awsKms,
  parseRecoveryKey,
  Repository,
  type RepositoryKey,
  recoveryKey,
} from "../../../src/repository/index.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { KMS_REGION, kmsServer } from "../../support/kms-server.ts";

async function newPlace() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  await db.createTable("words", [{ id: 1, text: "a secret word" }]);
  db.close();
  const { logger, logged } = recordingLogger();
  const init = (...keys: RepositoryKey[]) => Repository.init(location, { logger, encryption: { keys } });
  const open = (...keys: RepositoryKey[]) => Repository.open(location, { logger, keys });
  const slots = () =>
    readdirSync(join(location, "keys")).map((name) => readFileSync(join(location, "keys", name), "utf8"));
  const warnings = () => logged.filter(({ level }) => level === "warn").map(({ message }) => message);
  return { uri, location, init, open, slots, warnings };
}

async function newKms() {
  const kms = await kmsServer();
  const { endpoint, credentials } = kms;
  const arn = kms.newKey("alias/backups");
  return { kms, arn, key: awsKms("alias/backups", { endpoint, credentials, region: KMS_REGION }) };
}

test("a repository is opened by one call of KMS, and rotated by two", async () => {
  const { uri, init, open, warnings } = await newPlace();
  const { kms, key } = await newKms();
  const { id } = await (await init(key)).backup({ source: uri });
  expect(warnings().join()).toContain("only a cloud key opens this repository");
  expect(kms.calls.map(({ action }) => action)).toEqual(["Encrypt"]);
  const repository = await open(key);
  expect((await repository.get(id)).id).toBe(id);
  expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
  expect(kms.calls.map(({ action }) => action)).toEqual(["Encrypt", "Decrypt"]);
  await repository.keys.rotate();
  const again = await open(key);
  expect((await again.verify()).every(({ ok }) => ok)).toBe(true);
  const contexts = kms.calls.map(({ body }) => body["EncryptionContext"]) as { epoch: string }[];
  expect(new Set(contexts.map(({ epoch }) => epoch))).toEqual(new Set(["1", "2"]));
});

test.each(["AccessDeniedException", "DisabledException", "KMSInvalidStateException", "NotFoundException"])(
  "where KMS says %s the repository is not opened, and keeps the key that it has",
  async (code) => {
    const { init, open, slots } = await newPlace();
    const { kms, key } = await newKms();
    await init(key);
    const before = slots();
    kms.faults.push(code);
    await expect(open(key)).rejects.toThrow(IoError);
    expect(slots()).toEqual(before);
    await open(key);
  },
);

test("where KMS is away a printed recovery key opens, and with one there is no warning", async () => {
  const { uri, init, open, warnings } = await newPlace();
  const { kms, arn, key } = await newKms();
  const printed = recoveryKey();
  await (await init(key, printed)).backup({ source: uri });
  expect(warnings()).toEqual([]);
  kms.setState(arn, "KMSInvalidStateException");
  const repository = await open(key, parseRecoveryKey(printed.print()));
  expect((await repository.list()).length).toBe(1);
});

test("age recipients make a repository that their identities open, also after a rotation without these", async () => {
  const { uri, init, open } = await newPlace();
  const [one, other] = [await generateIdentity(), await generateIdentity()];
  const recipients = await Promise.all([one, other].map(identityToRecipient));
  await (await init(ageRecipients(...recipients))).backup({ source: uri });
  await (await open(ageIdentity(one))).keys.rotate();
  for (const identity of [one, other]) {
    const repository = await open(ageIdentity(identity));
    expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
  }
  await expect(open(ageIdentity(await generateIdentity()))).rejects.toThrow("opens no slot");
});
