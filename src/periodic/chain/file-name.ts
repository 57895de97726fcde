import type { FileFormat } from "../file/types.ts";

const PATTERN = /^lancedb_(backup|delta)_(\d{1,11})_(\d{6})\.(json|arrow)$/;
const MICROS = 1_000_000;

/** What the name of a periodic file says. */
export interface BackupFileName {
  readonly name: string;
  readonly type: "full" | "delta";
  readonly format: FileFormat;
  /** Microseconds since 1970; a double holds them exactly until the year 2255. */
  readonly micros: number;
}

/** Undefined for a name that is no periodic file's. */
export function parseFileName(name: string): BackupFileName | undefined {
  const [, kind, seconds, micros, format] = PATTERN.exec(name) ?? [];
  if (seconds === undefined || micros === undefined) return undefined;
  return {
    name,
    type: kind === "delta" ? "delta" : "full",
    format: format === "arrow" ? "arrow" : "json",
    micros: Number(seconds) * MICROS + Number(micros),
  };
}

export function fileName(type: "full" | "delta", format: FileFormat, micros: number): string {
  const kind = type === "full" ? "backup" : "delta";
  const seconds = Math.floor(micros / MICROS);
  return `lancedb_${kind}_${seconds}_${String(micros % MICROS).padStart(6, "0")}.${format}`;
}

/** ISO 8601 with microseconds. */
export function isoTime(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, -1)}${String(micros % 1000).padStart(3, "0")}Z`;
}
