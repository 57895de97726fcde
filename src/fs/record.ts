import { createHash } from "node:crypto";
import { CorruptError, UnsupportedError } from "../errors.ts";

/** The number of the formats that this version writes, and the only one that it reads. */
export const FORMAT = 1;

/** A small JSON document that carries its format's number and a checksum over its body (docs/formats.md). */
export function encodeRecord(body: object): Buffer {
  return Buffer.from(
    `${JSON.stringify({ format: FORMAT, sha256: sha256(JSON.stringify(body)), body }, null, 2)}\n`,
  );
}

/**
 * Reads what `encodeRecord` made.
 *
 * @param place what it was read from, for messages.
 * @throws CorruptError where it is cut short or edited. @throws UnsupportedError for a format of another number.
 */
export function decodeRecord(bytes: Uint8Array, place: string): Record<string, unknown> {
  const document = parseObject(bytes, place);
  assertFormat(document["format"], place);
  const body = document["body"];
  if (!isObject(body)) throw new CorruptError(`${place} is damaged: it has no body.`, { path: place });
  if (document["sha256"] !== sha256(textOf(body, place))) {
    throw new CorruptError(`${place} was changed by hand or is damaged: its checksum does not fit.`, {
      path: place,
    });
  }
  return body;
}

/** @throws UnsupportedError where a document is of a format that this version does not know. */
export function assertFormat(format: unknown, place: string): void {
  if (format === FORMAT) return;
  if (typeof format === "number" && Number.isSafeInteger(format) && format > FORMAT) {
    throw new UnsupportedError(
      `${place} has format ${format}; this version reads ${FORMAT}. Use a newer lancedb-backup.`,
    );
  }
  throw new CorruptError(`${place} is damaged: it names no format.`, { path: place });
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(bytes: Uint8Array, place: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isObject(document)) return document;
  } catch (error) {
    throw new CorruptError(`${place} is cut short or damaged: it is not JSON.`, {
      path: place,
      cause: error,
    });
  }
  throw new CorruptError(`${place} is damaged: it holds no document.`, { path: place });
}

function textOf(body: object, place: string): string {
  try {
    return JSON.stringify(body);
  } catch (error) {
    throw new CorruptError(`${place} is damaged: it is nested too deeply.`, { path: place, cause: error });
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
