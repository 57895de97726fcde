import { InvalidArgumentError } from "commander";

/** For an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

export function parseCount(value: string): number {
  if (!/^\d+$/.test(value) || Number(value) < 1 || !Number.isSafeInteger(Number(value))) {
    throw new InvalidArgumentError("It must be a whole number from 1.");
  }
  return Number(value);
}

export function parseNumber(value: string): number {
  if (!/^\d+(\.\d+)?$/.test(value)) throw new InvalidArgumentError("It must be a number, 0 or more.");
  return Number(value);
}

/** `0.1`, `10%`. */
export function parseFraction(value: string): number {
  const [, digits, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(value) ?? [];
  const fraction = Number(digits) / (percent ? 100 : 1);
  if (digits === undefined || fraction > 1) {
    throw new InvalidArgumentError("It must be a fraction from 0 to 1, or a percentage such as 10%.");
  }
  return fraction;
}

const DAYS: Record<string, number> = { h: 1 / 24, d: 1, w: 7 };

/** Days of `12h`, `30d`, `4w`. */
export function parseDays(value: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([hdw])$/.exec(value) ?? [];
  const days = Number(digits) * (DAYS[unit] ?? 0);
  if (digits === undefined || days === 0)
    throw new InvalidArgumentError("It must be a time, such as 12h, 30d or 4w.");
  return days;
}

const BYTES: Record<string, number> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** `1500`, `1.5 kB`, `2GiB`. */
export function parseBytes(value: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(value) ?? [];
  const factor = BYTES[unit.toLowerCase()];
  if (digits === undefined || factor === undefined) {
    throw new InvalidArgumentError("It must be a size, such as 1500, 10MB or 2GiB.");
  }
  return Math.round(Number(digits) * factor);
}

const MOMENT =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?) ?(Z|[+-]\d{2}:?\d{2})?)?$/;
const AGO = /^(\d+(?:\.\d+)?) ?(m|min|h|d|w)(?: ago)?$/;
const AGO_MS: Record<string, number> = { m: 6e4, min: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** `2026-11-21`, `2026-11-21 02:30` and so on, on this machine's clock unless a zone is named; `90m`, `2h`, `3d` ago. */
export function parseMoment(value: string, now = Date.now()): Date {
  const [, amount, unit = ""] = AGO.exec(value) ?? [];
  if (amount !== undefined) {
    const moment = new Date(now - Number(amount) * (AGO_MS[unit] ?? 0));
    if (!Number.isNaN(moment.getTime())) return moment;
    throw new InvalidArgumentError("That is too long ago for a date.");
  }
  const [, year, month, day, time = "00:00", zone = ""] = MOMENT.exec(value) ?? [];
  const midnight = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  const isDay = midnight.getUTCMonth() + 1 === Number(month) && midnight.getUTCDate() === Number(day);
  const moment = new Date(`${year}-${month}-${day}T${time}${zone}`);
  if (isDay && !Number.isNaN(moment.getTime())) return moment;
  throw new InvalidArgumentError(
    'It must be a moment: "2026-11-21", "2026-11-21 02:30", "2026-11-21T02:30:00Z", or how long ago: 90m, 2h, 3d, 1w.',
  );
}

/** For commander, which also passes what the option was before. */
export const momentArgument = (value: string): Date => parseMoment(value);
