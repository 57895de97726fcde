import { type BackupError, IoError, LockedError, ValidationError } from "../../errors.ts";

/** Numbers of errors, and what they are. Those above 2000 are the client's own. */
const ERRNOS: Readonly<Record<number, string>> = {
  1044: "EACCES",
  1045: "EACCES",
  1142: "EACCES",
  1143: "EACCES",
  1227: "EACCES",
  1251: "EACCES",
  1356: "EACCES",
  1370: "EACCES",
  1698: "EACCES",
  1021: "ENOSPC",
  1114: "ENOSPC",
  2002: "ECONNREFUSED",
  2003: "ECONNREFUSED",
  2005: "ENOTFOUND",
  2006: "ECONNRESET",
  2013: "ECONNRESET",
  2026: "EPROTO",
};

const LOCKED = new Set([1205, 1213]);
const NOT_THERE = new Set([1049, 1007]);

/** `ERROR 1045 (28000): …`, `mysqldump: Got error: 1045: "…"`, `Couldn't execute '…': … (1142)`. */
const NUMBER = /\bERROR (\d{4})\b|\berror:? (\d{4})\b|\((\d{4})\)/i;

/** What a program's ending was, by what it said. */
export function mysqlFailure(what: string, said: string): BackupError {
  const message = `${what}: ${said === "" ? "it gave no reason" : said}`;
  const [, ...numbers] = NUMBER.exec(said) ?? [];
  const number = Number(numbers.find((digits) => digits !== undefined));
  if (NOT_THERE.has(number)) return new ValidationError(message);
  if (LOCKED.has(number)) return new LockedError(message);
  const isFull = /No space left on device/.test(said);
  return new IoError(message, { errno: isFull ? "ENOSPC" : ERRNOS[number] });
}
