import { fold } from "../../engine/format/check-paths.ts";
import { CorruptError } from "../../errors.ts";

// Names of files are bytes; paths of a snapshot are text (docs/formats.md, *Files as a part*).

/** A name as the file system takes it: text where its bytes are that text's. */
export type FileName = string | Buffer;

const PERCENT = 0x25;

/** Of a name in a directory. `%` and what is not UTF-8 are escaped, and what no path of a snapshot may have. */
function escapeName(name: FileName): string {
  if (typeof name === "string") return name.replace(/[%\\]|(?<=^[A-Za-z]):/g, escapeText);
  return escapeBytes(name, (byte) => byte !== PERCENT && byte !== 0x5c);
}

/** What a symbolic link says. */
export function escapeLink(target: Buffer): string {
  const text = target.toString();
  return isText(target, text) ? text.replaceAll("%", "%25") : escapeBytes(target, (byte) => byte !== PERCENT);
}

/**
 * The names of one directory as parts of paths. Of those that some file systems cannot hold apart, capital letters and all but
 * ASCII are escaped, so that they can be.
 */
export function escapeNames(names: readonly FileName[]): Map<FileName, string> {
  const escaped = new Map(names.map((name) => [name, escapeName(name)]));
  const spelt = new Set(Array.from(escaped.values(), fold));
  if (spelt.size === escaped.size) return escaped;
  const alike = Map.groupBy(escaped, ([, text]) => fold(text));
  for (const group of alike.values()) {
    if (group.length === 1) continue;
    for (const [name] of group) escaped.set(name, escapeAlike(name));
  }
  return escaped;
}

function escapeAlike(name: FileName): string {
  const isPlain = (byte: number) =>
    byte < 0x80 && byte !== PERCENT && byte !== 0x5c && !(byte >= 0x41 && byte <= 0x5a);
  const text = escapeBytes(Buffer.from(name as string), isPlain);
  return text.replace(/(?<=^[A-Za-z]):/, escapeText);
}

/** Well-formed UTF-8 stays, but for what is not plain. */
function escapeBytes(bytes: Buffer, isPlain: (byte: number) => boolean): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOfCharacter(bytes, at);
    const character = bytes.subarray(at, at + length);
    const first = bytes[at] ?? 0;
    const stays = isPlain(first) && (first < 0x80 || isText(character, character.toString()));
    text += stays ? character.toString() : Array.from(character, escapeByte).join("");
    at += length;
  }
  return text;
}

function lengthOfCharacter(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
  const character = bytes.subarray(at, at + length);
  return isText(character, character.toString()) ? length : 1;
}

function isText(bytes: Buffer, text: string): boolean {
  return Buffer.from(text).equals(bytes);
}

function escapeByte(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

function escapeText(text: string): string {
  return Array.from(Buffer.from(text), escapeByte).join("");
}

/** The bytes that an escaped text stands for. @throws CorruptError naming `place` */
export function unescapeText(text: string, place: string): Buffer {
  if (!text.includes("%")) return Buffer.from(text);
  const parts = text.split("%");
  return Buffer.concat(
    parts.map((part, index) => {
      if (index === 0) return Buffer.from(part);
      if (!/^[0-9A-Fa-f]{2}/.test(part)) {
        throw new CorruptError(`${place} has a name with a % that encodes no byte: ${text.slice(0, 100)}.`, {
          path: place,
        });
      }
      return Buffer.concat([
        Buffer.from([Number.parseInt(part.slice(0, 2), 16)]),
        Buffer.from(part.slice(2)),
      ]);
    }),
  );
}

/**
 * The path of an entry as bytes, held to what lies below a directory.
 *
 * @throws CorruptError naming `place`
 */
export function pathBytes(path: string, place: string): Buffer {
  if (!path.includes("%")) return Buffer.from(path);
  const names = path.split("/").map((name) => unescapeText(name, place));
  for (const name of names) {
    const text = name.toString("latin1");
    if (text === "" || text === "." || text === ".." || /[/\0]/.test(text)) {
      throw new CorruptError(`${place} names a path that leaves its directory: ${path.slice(0, 100)}.`, {
        path: place,
      });
    }
  }
  return Buffer.concat(names.flatMap((name, index) => (index === 0 ? [name] : [SLASH, name])));
}

const SLASH = Buffer.from("/");

/** A place in a directory. */
export function joinName(directory: FileName, name: FileName): FileName {
  if (typeof directory === "string" && typeof name === "string") {
    return directory.endsWith("/") ? `${directory}${name}` : `${directory}/${name}`;
  }
  return Buffer.concat([Buffer.from(directory as string), SLASH, Buffer.from(name as string)]);
}

/** Where an entry lies below a directory. @throws CorruptError as `pathBytes` */
export function placeBelow(directory: FileName, path: string): FileName {
  return joinName(directory, unescapePath(path, shownName(directory)));
}

/** The path of an entry as the file system takes it: text where its bytes are that text's. @throws CorruptError as `pathBytes` */
export function unescapePath(path: string, place: string): FileName {
  if (!path.includes("%")) return path;
  const bytes = pathBytes(path, place);
  const text = bytes.toString();
  return isText(bytes, text) ? text : bytes;
}

/** For messages; what is not text is shown as it can be. */
export function shownName(name: FileName): string {
  return typeof name === "string" ? name : name.toString();
}
