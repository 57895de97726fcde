import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import {
  armor,
  Encrypter,
  generateHybridIdentity,
  generateIdentity,
  identityToRecipient,
} from "age-encryption";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ageIdentity, ageRecipients, recipientsOfSlot } from "../../../src/engine/keys/age-key.ts";
import { MASTER_BYTES } from "../../../src/engine/keys/repository-key.ts";
import type { JsonObject } from "../../../src/engine/snapshot.ts";
import { type BackupError, CorruptError, ValidationError } from "../../../src/errors.ts";
import { newDirectory } from "../../support/database.ts";
import { missingPrograms } from "../../support/programs.ts";

const place = { repository: randomUUID(), epoch: 1, object: "keys/1.json" };
const master = randomBytes(MASTER_BYTES);

let [identity, recipient, other, otherRecipient] = ["", "", "", ""];

beforeAll(async () => {
  [identity, other] = [await generateIdentity(), await generateIdentity()];
  [recipient, otherRecipient] = [await identityToRecipient(identity), await identityToRecipient(other)];
});

const wrap = async (...recipients: string[]): Promise<JsonObject> =>
  JSON.parse(JSON.stringify(await ageRecipients(...recipients).wrap?.(master, place)));
const unwrap = (slot: JsonObject, text = identity) => ageIdentity(text).unwrap?.(slot, place);

async function slotOf(content: Uint8Array, to: (encrypter: Encrypter) => unknown): Promise<JsonObject> {
  const encrypter = new Encrypter();
  to(encrypter);
  return { file: armor.encode(await encrypter.encrypt(content)) };
}

describe("a slot of age recipients", () => {
  test("is opened by the identity of each, and by no other", async () => {
    const slot = await wrap(recipient, otherRecipient);
    expect(Buffer.from((await unwrap(slot)) ?? [])).toEqual(master);
    expect(Buffer.from((await unwrap(slot, other)) ?? [])).toEqual(master);
    expect(await unwrap(slot, await generateIdentity())).toBeUndefined();
    expect(await unwrap(await wrap(otherRecipient))).toBeUndefined();
  });

  test("is opened by any of the identities in a file of age-keygen", async () => {
    const file = `# created: 2026-11-05T12:00:00Z\r\n# public key: ${otherRecipient}\r\n${other}\r\n\r\n${identity}\r\n`;
    expect(Buffer.from((await unwrap(await wrap(recipient), file)) ?? [])).toEqual(master);
  });

  test("holds nothing of the master that can be read, and names its recipients", async () => {
    const slot = await wrap(recipient, recipient);
    expect(slot["recipients"]).toEqual([recipient]);
    const text = JSON.stringify(slot) + Buffer.from(armor.decode(String(slot["file"]))).toString("latin1");
    expect(text).not.toContain(master.toString("hex"));
    expect(text).not.toContain(master.toString("latin1"));
  });

  test("is made anew for the recipients that it names", async () => {
    const key = recipientsOfSlot(await wrap(recipient, otherRecipient));
    const slot = (await key?.wrap?.(master, { ...place, epoch: 2 })) ?? {};
    for (const each of [identity, other])
      expect(Buffer.from((await unwrap(slot, each)) ?? [])).toEqual(master);
    for (const recipients of [
      undefined,
      [],
      "age1",
      [7],
      [`${recipient}q`],
      new Array(101).fill(recipient),
    ]) {
      expect(recipientsOfSlot({ recipients })).toBeUndefined();
    }
  });

  test("is made by an identity for itself", async () => {
    const slot = (await ageIdentity(identity).wrap?.(master, place)) ?? {};
    expect(slot["recipients"]).toEqual([recipient]);
    expect(Buffer.from((await unwrap(slot)) ?? [])).toEqual(master);
  });

  test("cannot be opened by who has the recipients alone", () => {
    expect(ageRecipients(recipient).unwrap).toBeUndefined();
  });
});

describe("a hostile slot", () => {
  test("is damage, whatever is in it", async () => {
    const wrong: JsonObject[] = [
      {},
      { file: 7 },
      { file: "" },
      { file: `-----BEGIN AGE ENCRYPTED FILE-----\n${"A".repeat(64)}\n-----END AGE ENCRYPTED FILE-----` },
      { file: "A".repeat(100_000) },
      await slotOf(master.subarray(1), (to) => to.addRecipient(recipient)),
      await slotOf(Buffer.alloc(33), (to) => to.addRecipient(recipient)),
      await slotOf(Buffer.alloc(0), (to) => to.addRecipient(recipient)),
      await slotOf(Buffer.alloc(1 << 20), (to) => to.addRecipient(recipient)),
    ];
    for (const slot of wrong) {
      await expect(unwrap(slot)).rejects.toThrow(CorruptError);
      await expect(unwrap(slot)).rejects.toMatchObject({
        message: "keys/1.json is damaged: it is not a slot of age recipients.",
        path: "keys/1.json",
      });
    }
  });

  test("of a passphrase is for others, and costs no scrypt", async () => {
    const slot = await slotOf(master, (to) => {
      to.setScryptWorkFactor(4);
      to.setPassphrase("guess");
    });
    const text = Buffer.from(armor.decode(String(slot["file"]))).toString("latin1");
    const costly = text.replace(/(-> scrypt \S+) 4/, "$1 40");
    expect(costly).not.toBe(text);
    expect(await unwrap({ file: armor.encode(Buffer.from(costly, "latin1")) })).toBeUndefined();
  });

  test("changed in any way is refused, or gives the same master", async () => {
    const slot = await wrap(recipient);
    const file = armor.decode(String(slot["file"]));
    const property = fc.asyncProperty(
      fc.nat({ max: file.length * 8 - 1 }),
      fc.boolean(),
      async (bit, isCut) => {
        const changed = Uint8Array.from(file);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        const bytes = isCut ? file.subarray(0, bit >> 3) : changed;
        try {
          expect(await unwrap({ file: armor.encode(bytes) })).toBeUndefined(); // it names another kind of recipient
        } catch (error) {
          if (!(error instanceof CorruptError)) throw error;
        }
      },
    );
    await fc.assert(property, { numRuns: process.env["NIGHTLY"] === "1" ? 5000 : 150 });
  });
});

describe("what is no key of age is refused", () => {
  test("as a recipient, by name", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity());
    const wrong = [
      "",
      "age1",
      recipient.toUpperCase(),
      hybrid,
      "ssh-ed25519 AAAAC3NzaC1lZDI1",
      "age1yubikey1qwerty",
    ];
    for (const text of wrong) expect(() => ageRecipients(text)).toThrow(ValidationError);
    expect(() => ageRecipients(recipient, "age1nobody")).toThrow('"age1nobody" is not an age recipient');
    expect(() => ageRecipients()).toThrow("1 to 100 recipients");
    expect(() => ageRecipients(7 as never)).toThrow(TypeError);
    const mistyped = recipient.slice(0, -1) + (recipient.endsWith("q") ? "p" : "q");
    await expect(wrap(mistyped)).rejects.toThrow(`"${mistyped}" is not an age recipient, or was mistyped`);
  });

  test("as an identity, by its line, and is not shown", async () => {
    const mistyped = identity.slice(0, -1) + (identity.endsWith("Q") ? "P" : "Q");
    const slot = await wrap(recipient);
    const attempts: readonly (() => unknown)[] = [
      () => ageIdentity(`# a comment\n${identity.slice(1)}`),
      () => ageIdentity(`# a comment\n${identity.toLowerCase()}`),
      () => unwrap(slot, `# a comment\n${mistyped}`),
      () => ageIdentity(`# a comment\n${mistyped}`).wrap?.(master, place),
    ];
    for (const attempt of attempts) {
      const error = await Promise.resolve()
        .then(attempt)
        .then(
          () => undefined,
          (caught: unknown) => caught,
        );
      expect(error).toBeInstanceOf(ValidationError);
      expect((error as BackupError).message).toContain("Line 2 of the age identity");
      expect(inspect(error, { depth: 9 })).not.toContain(identity.slice(20, 40));
    }
    expect(() => ageRecipients(identity)).toThrow("use ageIdentity");
    for (const empty of ["", "# nothing\n", "\n\n"])
      expect(() => ageIdentity(empty)).toThrow("no age identity");
    expect(() => ageIdentity("age-encryption.org/v1\n…")).toThrow("itself encrypted");
    expect(() => ageIdentity(7 as never)).toThrow(TypeError);
  });
});

test("no identity is shown", () => {
  const shown =
    inspect(ageIdentity(identity), { showHidden: true, depth: 9 }) + JSON.stringify(ageIdentity(identity));
  expect(shown).not.toContain("SECRET");
});

const isMissing = missingPrograms(["age"]).length > 0;

test.skipIf(isMissing)(
  `the programs age and age-keygen go together with it${isMissing ? " (none here: Debian's package age)" : ""}`,
  async () => {
    const directory = await newDirectory();
    const file = join(directory, "identity");
    execFileSync("age-keygen", ["-o", file], { stdio: "ignore" });
    const own = execFileSync("age-keygen", ["-y", file], { encoding: "utf8" }).trim();
    const slot = await wrap(recipient, own);
    expect(execFileSync("age", ["-d", "-i", file], { input: String(slot["file"]) })).toEqual(master);

    const encrypted = execFileSync("age", ["-a", "-r", own, "-r", otherRecipient], {
      input: master,
      encoding: "utf8",
    });
    expect(Buffer.from((await unwrap({ file: encrypted }, other)) ?? [])).toEqual(master);
    writeFileSync(join(directory, "other"), `${other}\n`);
    expect(execFileSync("age", ["-d", "-i", join(directory, "other")], { input: encrypted })).toEqual(master);
  },
);
