import type { FileFormat } from "../file/types.ts";

const PATTERN = /^lancedb_(backup|delta)_(\d{1,11})_(\d{6})\.(json|arrow)$/;
const MICROS = 1_000_000;

/** A double holds all times below it exactly, and those of the files that come after them. It is in the year 2255. */
const END_OF_TIME = Number.MAX_SAFE_INTEGER - 1000 * MICROS;

/** What the name of a periodic file says. */
export interface BackupFileName {
  readonly name: string;
  readonly type: "full" | "delta";
  readonly format: FileFormat;
  /** Microseconds since 1970. */
  readonly micros: number;
}

/** Undefined for a name that is no periodic file's, or of a time that no clock has told. */
export function parseFileName(name: string): BackupFileName | undefined {
  const [, kind, seconds, micros, format] = PATTERN.exec(name) ?? [];
  if (seconds === undefined || micros === undefined) return undefined;
  const time = Number(seconds) * MICROS + Number(micros);
  if (time >= END_OF_TIME) return undefined;
  return {
    name,
    type: kind === "delta" ? "delta" : "full",
    format: format === "arrow" ? "arrow" : "json",
    micros: time,
  };
}

export function fileName(type: "full" | "delta", format: FileFormat, micros: number): string {
  const kind = type === "full" ? "backup" : "delta";
  const seconds = Math.floor(micros / MICROS);
  return `lancedb_${kind}_${seconds}_${String(micros % MICROS).padStart(6, "0")}.${format}`;
}
