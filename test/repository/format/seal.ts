import { digestOf } from "../fixture.ts";

type Json = Record<string, unknown>;

export interface Document extends Json {
  format: unknown;
  summary: Json & { tables: Json[]; source: unknown };
  content: Record<string, { versions: unknown[]; files: unknown[] }>;
}

/** What a snapshot's document says, to be edited. */
export function unseal(document: Buffer): Document {
  const { sha256, ...rest } = JSON.parse(document.toString()) as Document;
  return rest as Document;
}

/** A document that says this, with a checksum that fits: what somebody hostile would make. */
export function seal({ format, summary, content, ...more }: Document): Buffer {
  const head = `{"format":${JSON.stringify(format)},"summary":${JSON.stringify(summary)},"content":`;
  const members = Object.entries(more).map(
    ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  const text = JSON.stringify(content) ?? "null";
  const rest = text.startsWith("{") ? `{\n${text.slice(1)}` : `\n${text}`;
  return sealText(`${head}${rest}${members.join("")},\n"sha256":"`);
}

/** @param body all bytes before the first digit of the checksum. */
export function sealText(body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(body), Buffer.from(`${digestOf(body)}"}\n`)]);
}
