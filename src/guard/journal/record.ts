import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type BackupError, CorruptError } from "../../errors.ts";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";

/** The number of the format that this version writes, and the highest that it reads. */
const FORMAT = 1;

/** A JSON document that carries its format number and a checksum over its body. */
export function encodeRecord(body: unknown): string {
  const text = JSON.stringify(body);
  return `${JSON.stringify({ format: FORMAT, sha256: sha256(text), body }, null, 2)}\n`;
}

/**
 * Reads a document that `encodeRecord` wrote; undefined where there is none.
 *
 * @throws CorruptError naming the file where it is cut short, edited, or of a newer format.
 */
export function readRecord(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw unreadable(error, path);
  }
  const document = parse(text, path);
  if (document["format"] !== FORMAT) {
    throw new CorruptError(
      `${path} has format ${JSON.stringify(document["format"])}; this version reads ${FORMAT}. Use a newer lancedb-backup, or move the file away.`,
      { path },
    );
  }
  if (document["sha256"] !== sha256(JSON.stringify(document["body"]))) {
    throw new CorruptError(`${path} was changed by hand or is damaged: its checksum does not fit.`, { path });
  }
  return document["body"];
}

/** The error for a file that cannot be read: damage where it is none, what the file system says otherwise. */
export function unreadable(error: unknown, path: string): BackupError {
  if (errnoOf(error) !== "EISDIR") return toIoError(error, "read", path);
  return new CorruptError(`${path} is a directory, not the file that it should be.`, { path, cause: error });
}

function parse(text: string, path: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document === "object" && document !== null) return document as Record<string, unknown>;
  } catch (error) {
    throw new CorruptError(`${path} is cut short or damaged: it is not JSON.`, { path, cause: error });
  }
  throw new CorruptError(`${path} is damaged: it holds no document.`, { path });
}

function sha256(text: string | undefined): string {
  return createHash("sha256")
    .update(text ?? "")
    .digest("hex");
}
