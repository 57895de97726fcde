import { randomBytes, randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { passphrase } from "../../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../../src/engine/keys/raw-key.ts";
import { MASTER_BYTES } from "../../../src/engine/keys/repository-key.ts";
import { CorruptError, ValidationError } from "../../../src/errors.ts";

const place = { repository: randomUUID(), epoch: 1, object: "keys/1.json" };
const master = randomBytes(MASTER_BYTES);

describe.each([
  ["a passphrase", () => passphrase("correct horse"), () => passphrase("correct hors")],
  ["raw bytes", () => rawKey(Buffer.alloc(32, 1)), () => rawKey(Buffer.alloc(32, 2))],
])("%s", (_, right, wrong) => {
  test("opens its slot, and no other does", async () => {
    const slot = JSON.parse(JSON.stringify(await right().wrap?.(master, place)));
    expect(await right().unwrap?.(slot, place)).toEqual(master);
    expect(await wrong().unwrap?.(slot, place)).toBeUndefined();
  });

  test("does not open a slot of another repository or epoch", async () => {
    const slot = (await right().wrap?.(master, place)) ?? {};
    expect(await right().unwrap?.(slot, { ...place, repository: randomUUID() })).toBeUndefined();
    expect(await right().unwrap?.(slot, { ...place, epoch: 2 })).toBeUndefined();
  });

  test("a slot that is none is damage, and a bit flipped in the master opens nothing", async () => {
    const slot = (await right().wrap?.(master, place)) ?? {};
    for (const change of [{ salt: "00" }, { master: 7 }, { master: "zz".repeat(48) }]) {
      await expect(right().unwrap?.({ ...slot, ...change }, place)).rejects.toThrow(CorruptError);
    }
    const [first, ...rest] = String(slot["master"]);
    const flipped = { ...slot, master: (first === "0" ? "1" : "0") + rest.join("") };
    expect(await right().unwrap?.(flipped, place)).toBeUndefined();
  });
});

test("a slot of a passphrase cannot ask for more memory or work than 1 GiB and 16 times the usual", async () => {
  const slot = (await passphrase("x").wrap?.(master, place)) ?? {};
  const costs = [{ N: 2 ** 40 }, { r: 2 ** 20 }, { p: 2 ** 20 }, { N: 3 }, { N: 1 }, { N: 0 }, { p: -1 }];
  for (const cost of costs) {
    await expect(passphrase("x").unwrap?.({ ...slot, ...cost }, place)).rejects.toThrow(CorruptError);
  }
});

test("how accents are composed does not count", async () => {
  const slot = (await passphrase("Schlüssel".normalize("NFD")).wrap?.(master, place)) ?? {};
  expect(await passphrase("Schlüssel".normalize("NFC")).unwrap?.(slot, place)).toEqual(master);
});

test("no secret is shown", () => {
  expect(inspect(passphrase("correct horse"), { showHidden: true })).not.toContain("horse");
  expect(JSON.stringify([passphrase("correct horse"), rawKey(Buffer.alloc(32, 77))])).toBe(
    '[{"kind":"passphrase"},{"kind":"raw"}]',
  );
});

test("what is no secret is refused", () => {
  expect(() => passphrase("")).toThrow(ValidationError);
  expect(() => passphrase(7 as never)).toThrow(TypeError);
  expect(() => rawKey(Buffer.alloc(31))).toThrow(ValidationError);
  expect(() => rawKey("x".repeat(32) as never)).toThrow(TypeError);
});
