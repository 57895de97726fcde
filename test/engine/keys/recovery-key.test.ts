import { randomBytes, randomUUID } from "node:crypto";
import { inspect } from "node:util";
import fc from "fast-check";
import { expect, test } from "vitest";
import { rawKey } from "../../../src/engine/keys/raw-key.ts";
import { parseRecoveryKey, recoveryKey } from "../../../src/engine/keys/recovery-key.ts";
import { ValidationError } from "../../../src/errors.ts";

const place = { repository: randomUUID(), epoch: 1, object: "keys/1.json" };
const master = randomBytes(32);
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

// Of the bytes 0 to 31: what is printed now is read for ever.
const PRINTED = "000G0-40R47-0M30J-E209D-185GT-R38E6-1W81Q-24GK4-2GAHK-C5RRE-34D11-P70XS-3RFP7-63ED3";

test("is read again as it was printed, once and for ever", async () => {
  const slot =
    (await rawKey(Buffer.from(Array.from({ length: 32 }, (_, index) => index))).wrap?.(master, place)) ?? {};
  const key = parseRecoveryKey(PRINTED);
  expect(key.kind).toBe("raw");
  expect(await key.unwrap?.(slot, place)).toEqual(master);
  expect(key.print()).toBe(PRINTED);
});

test("is another each time, and opens its own slots alone", async () => {
  for (let times = 0; times < 20; times++) {
    const key = recoveryKey();
    const text = key.print();
    expect(text).toMatch(/^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){13}$/);
    const slot = (await key.wrap?.(master, place)) ?? {};
    expect(await parseRecoveryKey(text).unwrap?.(slot, place)).toEqual(master);
    expect(await recoveryKey().unwrap?.(slot, place)).toBeUndefined();
  }
});

test("is read in small letters, over several lines, without separators, and with letters for digits", () => {
  const text = recoveryKey().print();
  const lines = `\n  ${text.slice(0, 41)}\r\n ${text.slice(42).replaceAll("-", " - ")}\n`;
  const letters = text.replaceAll("0", "o").replaceAll("1", "l");
  for (const same of [
    text.toLowerCase(),
    text.replaceAll("-", ""),
    text.replaceAll("-", " "),
    lines,
    letters,
  ]) {
    expect(parseRecoveryKey(same).print()).toBe(text);
  }
});

const group = fc.nat({ max: 13 });

function refusal(groups: readonly string[]): string {
  try {
    parseRecoveryKey(groups.join("-"));
  } catch (error) {
    expect(error).toBeInstanceOf(ValidationError);
    return (error as Error).message;
  }
  return expect.fail("it was taken");
}

test("any one wrong character is told by its group, and so are two neighbours that were swapped", () => {
  const groups = recoveryKey().print().split("-");
  const property = fc.property(
    group,
    fc.nat({ max: 4 }),
    fc.constantFrom(...ALPHABET),
    (at, place, other) => {
      const own = groups[at] ?? "";
      const next = own.charAt(place + 1);
      const [before, after] = [own.slice(0, place), own.slice(place + 2)];
      for (const wrong of [before + other + next + after, before + next + own.charAt(place) + after]) {
        if (wrong === own || wrong.length !== 5) continue;
        const message = refusal(groups.with(at, wrong));
        expect(message).toContain(`Group ${at + 1} of the recovery key was mistyped`);
        expect(message).not.toContain(wrong);
      }
    },
  );
  fc.assert(property, { numRuns: 2000 });
});

test("groups that stand in each other's place are told", () => {
  const groups = recoveryKey().print().split("-");
  fc.assert(
    fc.property(group, group, (one, other) => {
      fc.pre(one !== other && groups[one] !== groups[other]);
      const swapped = groups.with(one, groups[other] ?? "").with(other, groups[one] ?? "");
      expect(refusal(swapped)).toContain(`Group ${Math.min(one, other) + 1} `);
    }),
  );
});

test("whatever else is typed is refused", () => {
  const groups = recoveryKey().print().split("-");
  expect(refusal(groups.slice(1))).toBe("A recovery key has 14 groups, and this one has 13.");
  expect(refusal([])).toContain("14 groups");
  expect(refusal(groups.with(4, "ABC"))).toBe("Group 5 of the recovery key has 3 characters instead of 5.");
  expect(refusal(groups.with(4, "AB*DE"))).toBe("Group 5 of the recovery key has a character that none has.");
  expect(() => parseRecoveryKey(7 as never)).toThrow(TypeError);
  const wrong = groups.map((own) =>
    [...own].map((character) => ALPHABET[(ALPHABET.indexOf(character) + 7) % 32]).join(""),
  );
  expect(refusal(wrong)).toContain("mistyped");
  fc.assert(fc.property(fc.string(), (text) => void refusal([text])));
});

test("is shown by print alone", () => {
  const key = recoveryKey();
  const shown = inspect(key, { showHidden: true, depth: 9 }) + JSON.stringify(key);
  for (const own of key.print().split("-")) expect(shown).not.toContain(own);
});
