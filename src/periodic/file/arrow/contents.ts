import type { RecordBatch } from "apache-arrow";
import { Problem } from "../../../arrow/problem.ts";
import { schemaSignature } from "../../../arrow/signature.ts";
import type { Contents, TableContents } from "../contents.ts";
import { asObject, type Json, parseFileHead, parseForm, parseTableHead } from "../document.ts";
import { MAX_INDEX_BYTES } from "../limits.ts";
import { PARTS, type PartName, parseParts, partOf, partSchema } from "../parts.ts";
import { locating } from "../problem.ts";
import type { SealedInput } from "../sealed-input.ts";
import type { FileHead, RowKind } from "../types.ts";
import { DIGEST_BYTES, HEAD_BYTES, LENGTH_BYTES } from "./container.ts";
import { readBatches, readSchema } from "./stream.ts";

/** Where the checksum stands, which is of everything before it. */
export function arrowSealAt(bytes: number): number {
  return bytes - DIGEST_BYTES;
}

export async function readArrowSeal(input: SealedInput): Promise<string> {
  const digest = await input.read(arrowSealAt(input.bytes), DIGEST_BYTES);
  return Buffer.from(digest).toString("hex");
}

/** The index, without a look at any table. */
export async function readArrowIndex(
  input: SealedInput,
): Promise<{ json: Json; head: FileHead; start: number }> {
  const lengthAt = arrowSealAt(input.bytes) - LENGTH_BYTES;
  if (lengthAt < HEAD_BYTES) throw input.corrupt("it is too short");
  const length = Number(Buffer.from(await input.read(lengthAt, LENGTH_BYTES)).readBigUInt64LE());
  if (length > MAX_INDEX_BYTES || length > lengthAt - HEAD_BYTES) {
    throw input.corrupt(`its index is said to have ${length} bytes`);
  }
  const start = lengthAt - length;
  const bytes = await input.read(start, length);
  return locating(input.path, "its index", () => {
    const json = asObject(JSON.parse(Buffer.from(bytes).toString()), "it");
    return { json, head: parseFileHead(json), start };
  });
}

export async function readArrowContents(input: SealedInput): Promise<Contents> {
  const { json, head, start } = await readArrowIndex(input);
  const tables: TableContents[] = [];
  const entries = locating(input.path, "its index", () =>
    Object.entries(asObject(json["tables"], '"tables"')),
  );
  for (const [name, entry] of entries) tables.push(await readTable(input, head, name, entry, start));
  return { head, tables };
}

async function readTable(
  input: SealedInput,
  file: FileHead,
  name: string,
  entry: unknown,
  end: number,
): Promise<TableContents> {
  const place = `table ${JSON.stringify(name)}`;
  const json = locating(input.path, place, () => asObject(entry, "its entry in the index"));
  const form = locating(input.path, place, () => parseForm(json, file.type));
  const parts = locating(input.path, place, () => parseParts(form, json, HEAD_BYTES, end));
  const streams: Partial<Record<PartName, Awaited<ReturnType<typeof readSchema>>>> = {};
  for (const part of PARTS[form]) {
    const found = parts[part];
    if (found !== undefined) streams[part] = await readSchema(input, found, `${place}, ${part}`);
  }
  const schema = (streams.rows ?? streams.upserts)?.schema;
  const head = locating(input.path, place, () => {
    const checked = parseTableHead(name, json, schema, file.type);
    for (const part of PARTS[form]) {
      const own = streams[part]?.schema;
      if (own === undefined || schemaSignature(own) !== schemaSignature(partSchema(checked, part))) {
        throw new Problem(`its ${part} have other columns`);
      }
    }
    return checked;
  });
  return {
    head,
    upserts: (parts.rows ?? parts.upserts)?.rows ?? 0,
    deletes: parts.deletes?.rows ?? 0,
    async *batches(kind: RowKind): AsyncGenerator<RecordBatch> {
      const part = partOf(form, kind);
      const [found, stream] = part === undefined ? [] : [parts[part], streams[part]];
      if (found === undefined || stream === undefined) return;
      yield* readBatches(input, found, stream.schema, stream.start, `${place}, ${part}`);
    },
  };
}
