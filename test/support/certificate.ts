import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate of the test's own, signed by itself, for these names; and its key, which this user alone reads. */
export function newCertificate(
  directory: string,
  names = "DNS:localhost,IP:127.0.0.1",
): { file: string; cert: Buffer; key: Buffer } {
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
