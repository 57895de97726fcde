import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { documentedFunctions } from "../../support/documented-code.ts";
import { decode, encode, KINDS, type Kind } from "./blob-kinds.ts";
import { MIB } from "./forge-blob.ts";

// Blobs that a first version of this package has written. Every later one reads them; they are never written anew.

const directory = join(import.meta.dirname, "vectors");

const CONTENTS: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  text: Buffer.from("a line of text, and once more a line of text, a line of text\n".repeat(3)),
  "two-segments": Buffer.alloc(MIB + 5, "abc"),
};

function kindOf(name: string): Kind {
  const [algorithm, isEncrypted] = [/none|zstd|gzip/.exec(name)?.[0], name.endsWith("-encrypted.hex")];
  const kind = KINDS.find(({ compression, key }) => {
    return compression.algorithm === algorithm && (key !== undefined) === isEncrypted;
  });
  return kind ?? expect.fail(`no kind of blob is called ${name}`);
}

describe("blobs of the first version", async () => {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".hex")).sort();
  const { decodeBlob: documented } = await documentedFunctions("Repository", ["decodeBlob"]);

  test("are all there", () => {
    expect(names).toHaveLength(14);
  });

  test.each(names)("%s is read", async (name) => {
    const kind = kindOf(name);
    const content = CONTENTS[name.split(".", 1)[0] ?? ""] ?? expect.fail(name);
    const blob = Buffer.from((await readFile(join(directory, name), "utf8")).replaceAll("\n", ""), "hex");
    expect(decode(blob, content, kind).equals(content)).toBe(true);
    expect((documented as (...args: unknown[]) => Buffer)(blob, kind.key?.key).equals(content)).toBe(true);
    const isTheSameEachTime = kind.key === undefined && kind.compression.algorithm === "none";
    if (isTheSameEachTime) expect(encode(content, kind).equals(blob)).toBe(true);
  });
});
