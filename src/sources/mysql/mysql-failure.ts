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
const TLS = 2026;

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
  const advice = number === TLS ? tlsAdvice(said) : "";
  return new IoError(`${message}${advice}`, { errno: isFull ? "ENOSPC" : ERRNOS[number] });
}

/** What the programs do not say of TLS themselves. */
function tlsAdvice(said: string): string {
  if (/server doesn.t support it|does not support it/i.test(said))
    return " Give the server a certificate, or, where the way to it is safe, say ssl-mode=DISABLED.";
  if (/expired/.test(said)) return " Renew the server's certificate.";
  if (!/certificate|self.?signed|issuer|verif|host ?name/i.test(said)) return "";
  return " Name the file of the authority that has signed the server's certificate by ssl-ca, and the host as the certificate does.";
}
