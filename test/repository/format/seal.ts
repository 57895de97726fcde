import { digestOf } from "../fixture.ts";

type Json = Record<string, unknown>;

/** A document of one LanceDB part, laid out by its tables so that it can be edited table by table. */
export interface Document extends Json {
  format: unknown;
  /** With the members of the part's source and `about`. */
  summary: Json & { tables: Json[]; source: unknown };
  /** By the table's directory; a file is path, bytes, digest, inode, time of change, pieces and attributes. */
  content: Record<string, { versions: unknown[]; files: unknown[] }>;
  blobs: unknown[];
}

const ABOUT = ["selection", "taken", "history", "rows", "tables", "leftOut"];

/** What a snapshot's document says, to be edited. */
export function unseal(document: Buffer): Document {
  const { format, summary, parts } = JSON.parse(document.toString());
  const [{ source, details, blobs, entries }] = parts;
  const { parts: short, ...rest } = summary;
  const content: Document["content"] = {};
  for (const { directory } of short[0].about.tables) {
    const files = entries
      .filter(([path]: [string]) => path.startsWith(`${directory}/`))
      .map(([path, size, sha256, stamp, ...more]: [string, number, string, string]) => {
        return [path.slice(directory.length + 1), size, sha256, ...stamp.split(":").map(Number), ...more];
      });
    content[directory] = { versions: details.versions[directory], files };
  }
  return { format, summary: { ...rest, source, ...short[0].about }, content, blobs };
}

/** A document that says this, with a checksum that fits: what somebody hostile would make. */
export function seal({ format, summary, content, blobs, ...more }: Document): Buffer {
  const members = Object.entries(more).map(
    ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  const { source, ...rest } = summary;
  const about = Object.fromEntries(ABOUT.filter((key) => key in rest).map((key) => [key, rest[key]]));
  const short = Object.fromEntries(Object.entries(rest).filter(([key]) => !ABOUT.includes(key)));
  const parts = [{ source, files: rest["files"], bytes: rest["bytes"], about }];
  const head = `{"format":${JSON.stringify(format)},"summary":${JSON.stringify({ ...short, parts })},"parts":[\n`;
  const part = { source, details: { versions: versionsOf(content) }, blobs, entries: entriesOf(content) };
  return sealText(`${head}${JSON.stringify(part)}]${members.join("")},\n"sha256":"`);
}

function versionsOf(content: Document["content"] | null): unknown {
  const tables = Object.entries(content ?? {});
  const members = tables.map(([directory, table]) => [directory, table?.versions] as const);
  // By text, since a member may be called __proto__.
  return JSON.parse(
    `{${members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value ?? null)}`).join(",")}}`,
  );
}

function entriesOf(content: Document["content"] | null): unknown[] {
  return Object.entries(content ?? {}).flatMap(([directory, table]) =>
    (table?.files ?? []).map((file) => {
      if (!Array.isArray(file)) return file;
      const [path, size, sha256, inode, mtimeMs, ...more] = file as unknown[];
      const whole = typeof path === "string" ? `${directory}/${path}` : path;
      return [whole, size, sha256, `${JSON.stringify(inode)}:${JSON.stringify(mtimeMs)}`, ...more];
    }),
  );
}

/** A document of any members, with a checksum that fits. */
export function sealRaw({ format, summary, parts, sha256, ...more }: Json): Buffer {
  const text = JSON.stringify(parts) ?? "null";
  const members = Object.entries(more).map(
    ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  const head = `{"format":${JSON.stringify(format)},"summary":${JSON.stringify(summary)},"parts":`;
  const rest = text.startsWith("[") ? `[\n${text.slice(1)}` : `\n${text}`;
  return sealText(`${head}${rest}${members.join("")},\n"sha256":"`);
}

/** @param body all bytes before the first digit of the checksum. */
export function sealText(body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(body), Buffer.from(`${digestOf(body)}"}\n`)]);
}
