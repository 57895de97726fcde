import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

/** Bytes at the end of a file, at least, that a forger has no use for: its checksum. */
const SEAL_BYTES = 67;

/** Writes a file with a right checksum, as somebody would make it who wants to be believed. */
export function forge(path: string, bytes: Buffer): void {
  const digest = (length: number) => createHash("sha256").update(bytes.subarray(0, length)).digest();
  const isArrow = bytes.subarray(0, 8).toString() === "LANCEBAK";
  if (isArrow) digest(bytes.length - 32).copy(bytes, bytes.length - 32);
  else bytes.write(digest(bytes.length - SEAL_BYTES).toString("hex"), bytes.length - SEAL_BYTES);
  writeFileSync(path, bytes);
}

/** The file with one to three bytes changed somewhere, to what does harm in numbers; and where. */
export function changed(good: Buffer, random: () => number): { readonly bytes: Buffer; readonly at: number } {
  const below = (limit: number) => Math.floor(random() * limit);
  const bytes = Buffer.from(good);
  const at = below(bytes.length - SEAL_BYTES - 3);
  for (let index = at; index <= at + below(3); index++)
    bytes[index] = [0xff, 0x7f, 0x80, 0, 0x39, 0x2d, below(256)][below(7)] ?? 0;
  return { bytes, at };
}
