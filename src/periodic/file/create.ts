import { ArrowEncoder } from "./arrow/encoder.ts";
import { fileHeadJson, parseFileHead } from "./document.ts";
import { JsonEncoder } from "./json/json-encoder.ts";
import { FORMAT } from "./limits.ts";
import { validating } from "./problem.ts";
import { SealedOutput } from "./sealed-output.ts";
import type { BackupFileWriter, FileFormat, FileHead } from "./types.ts";
import { CheckedWriter } from "./writer.ts";

/**
 * Begins a backup file. It appears under `path` when `finish` has written and synced it whole; until then,
 * and after `abort` or a death, there is at most `.<name>.<process>.<random>.tmp` beside it, which may be deleted.
 *
 * @throws ValidationError where `path` exists (now, or at `finish`), and for names and heads that no file can have.
 * @throws IoError where the directory is missing or the disk refuses.
 */
export async function createBackupFile(
  path: string,
  format: FileFormat,
  head: FileHead,
): Promise<BackupFileWriter> {
  const checked = validating("The head of a backup file", () => parseFileHead(fileHeadJson(head, FORMAT)));
  const output = await SealedOutput.create(path);
  const encoder = format === "json" ? new JsonEncoder(output) : new ArrowEncoder(output);
  await encoder.begin(checked);
  return new CheckedWriter(output, encoder, checked.type);
}
