const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `0 B`, `999 B`, `1.5 kB`, `12 MB`: powers of 1000. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 and more would be written as 1000.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `1,234`. */
export function formatCount(count: number): string {
  return count.toLocaleString("en");
}

/** `1 file`, `1,234 files`. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `12 ms`, `1.2 s`, `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 9950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return two(Math.floor(seconds / 60), "min", seconds % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return two(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** `2026-11-21 11:42:05`. @param timeZone IANA name; default: that of this machine. */
export function formatTime(moment: Date, timeZone?: string): string {
  if (timeZone !== undefined) return formatIn(timeZone, moment);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [
    String(moment.getFullYear()).padStart(4, "0"),
    two(moment.getMonth() + 1),
    two(moment.getDate()),
  ];
  const time = [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(two);
  return `${date.join("-")} ${time.join(":")}`;
}

function formatIn(timeZone: string, moment: Date): string {
  const format = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]));
  const part = (type: Intl.DateTimeFormatPartTypes, digits = 2) =>
    (parts.get(type) ?? "").padStart(digits, "0");
  const date = `${part("year", 4)}-${part("month")}-${part("day")}`;
  return `${date} ${part("hour")}:${part("minute")}:${part("second")}`;
}

/** `3 h ago`; `just now` for what is not a minute old or lies in the future. */
export function formatAge(moment: Date, now = Date.now()): string {
  const age = now - moment.getTime();
  if (age < 60_000) return "just now";
  return `${formatDuration(age).split(" ").slice(0, 2).join(" ")} ago`;
}

/** A text whose times, in UTC as programs read them, are shown on the clock of this machine. */
export function withLocalTimes(text: string): string {
  return text.replace(/\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z/g, (time) => formatTime(new Date(time)));
}
