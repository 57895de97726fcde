import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Certificate {
  readonly file: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A certificate of the test's own, signed by itself, for these names; and its key, which this user alone reads. */
export function newCertificate(directory: string, names = "DNS:localhost,IP:127.0.0.1"): Certificate {
  const [file, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  execFileSync(
    "openssl",
    [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" "),
      ...["-subj", "/CN=localhost", "-addext", `subjectAltName=${names}`],
      ...["-keyout", keyFile, "-out", file],
    ],
    { stdio: "ignore" },
  );
  return { file, cert: readFileSync(file), key: readFileSync(keyFile) };
}

/** The same certificate and key, expired, in the place of those of a directory. */
export function expireCertificate(directory: string): void {
  const [file, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const request = execFileSync("openssl", [
    "x509",
    "-x509toreq",
    "-copy_extensions",
    "copy",
    "-in",
    file,
    "-signkey",
    key,
  ]);
  const args = ["x509", "-req", "-days", "-1", "-copy_extensions", "copy", "-signkey", key];
  const expired = execFileSync("openssl", args, { input: request, stdio: ["pipe", "pipe", "ignore"] });
  writeFileSync(file, expired); // the same file, so that its owner stays
}
