import { createHash } from "node:crypto";
import { CorruptError, UnsupportedError } from "../errors.ts";

/** The number of the format of records, where their owner has no other. */
const FORMAT = 1;

/** A small JSON document that carries its format's number and a checksum over its body (docs/formats.md). */
export function encodeRecord(body: object, format = FORMAT): Buffer {
  return Buffer.from(`${JSON.stringify({ format, sha256: sha256(JSON.stringify(body)), body }, null, 2)}\n`);
}

/**
 * Reads what `encodeRecord` made.
 *
 * @param place what it was read from, for messages.
 * @param wanted the number of the format that it is to have.
 * @throws CorruptError where it is cut short or edited. @throws UnsupportedError for a format of another number.
 */
export function decodeRecord(bytes: Uint8Array, place: string, wanted = FORMAT): Record<string, unknown> {
  const document = parseObject(bytes, place);
  assertFormat(document["format"], place, wanted);
  const body = document["body"];
  if (!isObject(body)) throw new CorruptError(`${place} is damaged: it has no body.`, { path: place });
  if (document["sha256"] !== sha256(textOf(body, place))) {
    throw new CorruptError(`${place} was changed by hand or is damaged: its checksum does not match.`, {
      path: place,
    });
  }
  return body;
}

/** @throws UnsupportedError where a document is of a format that this version does not know, older or newer. */
export function assertFormat(format: unknown, place: string, wanted: number): void {
  if (format === wanted) return;
  if (typeof format === "number" && Number.isSafeInteger(format) && format > 0) {
    const advice =
      format > wanted ? "Use a newer lancedb-backup." : "It was in no release: make a new repository.";
    throw new UnsupportedError(`${place} has format ${format}; this version reads ${wanted}. ${advice}`);
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
