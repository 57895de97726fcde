import {
  type BackupError,
  CorruptError,
  IoError,
  LockedError,
  UnsupportedError,
  ValidationError,
} from "../../errors.ts";

/** What the programs and the server say, and what that is. The first that fits counts. */
const MEANINGS: readonly (readonly [RegExp, (message: string) => BackupError])[] = [
  [
    /password authentication failed|no password supplied|no pg_hba\.conf entry|authentication failed|FATAL: +role ".*" does not exist|is not permitted to log in/,
    (message) => new IoError(message, { errno: "EACCES" }),
  ],
  [/database ".*" does not exist/, (message) => new ValidationError(message)],
  [
    /database ".*" already exists|permission denied to create database/,
    (message) => new ValidationError(message),
  ],
  [
    /permission denied|must be owner|must be superuser|row-level security policy/,
    (message) => new IoError(message, { errno: "EACCES" }),
  ],
  [/lock timeout|could not obtain lock/, (message) => new LockedError(message)],
  [/server version mismatch|unsupported version/, (message) => new UnsupportedError(message)],
  [
    /does not appear to be a valid archive|input file is too short|could not read from input file|unexpected end of file|could not find block ID|corrupt tar header/,
    (message) => new CorruptError(message),
  ],
  [/No space left on device/, (message) => new IoError(message, { errno: "ENOSPC" })],
  [
    /Connection refused|could not connect to server|No such file or directory\s+Is the server running/,
    (message) => new IoError(message, { errno: "ECONNREFUSED" }),
  ],
  [/could not translate host name/, (message) => new IoError(message, { errno: "ENOTFOUND" })],
  [/timeout expired|Connection timed out/, (message) => new IoError(message, { errno: "ETIMEDOUT" })],
  [
    /server closed the connection|terminating connection|connection not open|could not receive data|SSL connection has been closed|SSL SYSCALL error|unexpected eof while reading|lost synchronization/,
    (message) => new IoError(message, { errno: "ECONNRESET" }),
  ],
  // TLS that is wanted and not to be had, or not as it is wanted. Users' tables may be called after certificates, too.
  [
    /does not support SSL|SSL error|\b(?:server|client|root) certificate\b|certificate file|certificate could not be obtained|certificate present, but|certificate verify failed/,
    (message) => new IoError(`${message}${tlsAdvice(message)}`, { errno: "EPROTO" }),
  ],
];

/** What a program's ending was, by what it said. */
export function postgresFailure(what: string, said: string): BackupError {
  const message = `${what}: ${said === "" ? "it gave no reason" : said}`;
  const meaning = MEANINGS.find(([pattern]) => pattern.test(said));
  return meaning ? meaning[1](message) : new IoError(message);
}

/** What the programs do not say of TLS themselves. */
function tlsAdvice(said: string): string {
  if (/does not support SSL/.test(said))
    return " Give the server a certificate, or, where the way to it is safe, say sslmode=disable.";
  if (/does not match host name/.test(said)) return " Name the host as its certificate does.";
  if (/certificate verify failed/.test(said))
    return " Name the file of the authority that has signed the server's certificate by sslrootcert. If that is right, the certificate may have expired.";
  return "";
}
