/** The two ways in which Lance names its manifests. V2 counts down, so that the newest sorts first. */
export type NamingScheme = "v1" | "v2";

export interface ManifestName {
  /** File name in `_versions/`. */
  readonly name: string;
  readonly version: number;
  readonly scheme: NamingScheme;
}

const U64_MAX = 2n ** 64n - 1n;
const V2_DIGITS = 20;
const PATTERN = /^(\d{1,20})\.manifest$/;

/** Reads a file name of `_versions/`; undefined for anything that is no manifest of the main line. */
export function parseManifestName(name: string): ManifestName | undefined {
  const digits = PATTERN.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const scheme: NamingScheme = digits.length === V2_DIGITS ? "v2" : "v1";
  const version = scheme === "v2" ? U64_MAX - BigInt(digits) : BigInt(digits);
  if (version < 0n || version > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { name, version: Number(version), scheme };
}

export function manifestName(version: number, scheme: NamingScheme): string {
  const digits =
    scheme === "v2" ? String(U64_MAX - BigInt(version)).padStart(V2_DIGITS, "0") : String(version);
  return `${digits}.manifest`;
}
