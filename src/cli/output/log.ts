import type { Logger } from "../../logger.ts";
import { formatBytes, formatDuration } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { WAITING } from "../../util/tell-waiting.ts";
import type { Screen } from "./screen.ts";
import type { Style } from "./terminal.ts";

/** What the library tells, on standard error: warnings and errors; with `verbose` every step. */
export function screenLogger(screen: Screen, verbose: boolean): Logger {
  const write = (level: keyof Logger, style: Style) => (message: string, meta?: Record<string, unknown>) => {
    screen.line(`${screen.terminal.style(style, `${level}:`)} ${printable(message)}${formatMeta(meta)}`);
  };
  const silent = () => undefined;
  // Else nobody would know why nothing happens.
  const waits = (message: string, meta?: Record<string, unknown>) => {
    if (message === WAITING) screen.line(`Waiting for ${printable(String(meta?.["for"]))}`);
  };
  return {
    debug: verbose ? write("debug", "dim") : silent,
    info: verbose ? write("info", "dim") : waits,
    warn: (message, meta) => {
      const text = `${printable(message)}${formatMeta(meta)}`;
      screen.line(`${screen.terminal.style("yellow", "warning:")} ${text}`);
    },
    error: write("error", "red"),
  };
}

function formatMeta(meta: Record<string, unknown> = {}): string {
  const parts = Object.entries(meta)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key === "ms" ? "took" : key}: ${printable(formatValue(key, value))}`);
  return parts.length > 0 ? ` (${parts.join(", ")})` : "";
}

function formatValue(key: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" && /bytes$/i.test(key)) return formatBytes(value);
  if (typeof value === "number" && key === "ms") return formatDuration(value);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.join("; ");
  return JSON.stringify(value);
}
