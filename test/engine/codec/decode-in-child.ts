// Decodes a blob that is no good, and says by which code it was refused and how much the process grew at its highest:
// node decode-in-child.ts <file> <name>
import { readFileSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { decodeBlob } from "../../../src/engine/codec/decode-blob.ts";
import { encodeBlob } from "../../../src/engine/codec/encode-blob.ts";
import { BackupError } from "../../../src/errors.ts";

const [file, name] = process.argv.slice(2) as [string, string];
const bytes = readFileSync(file);

// What the first use of all costs is no growth of the one that is measured.
const content = Buffer.alloc(4 << 20, zstdCompressSync(Buffer.from("warm")));
const good = encodeBlob(content, { name, compression: { algorithm: "zstd" } });
decodeBlob(good, { name, place: "warm" });

const before = process.resourceUsage().maxRSS;
let code = "accepted";
try {
  decodeBlob(bytes, { name, place: "here" });
} catch (error) {
  if (!(error instanceof BackupError)) throw error;
  code = error.code;
}
console.log(JSON.stringify({ code, grownKilobytes: process.resourceUsage().maxRSS - before }));
