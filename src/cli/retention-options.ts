import type { Command } from "commander";
import type { RetentionPolicy } from "../repository/index.ts";
import { collect, parseCount, parseNumber } from "./arguments.ts";

/** A retention policy as options give it. */
export interface RetentionOptions extends Omit<RetentionPolicy, "keepTags"> {
  readonly keepTag?: string[];
}

export function addRetentionOptions(command: Command): Command {
  command.option("--keep-last <count>", "Keep this many, the newest.", parseCount);
  for (const [period, unit] of [
    ["hourly", "hour"],
    ["daily", "day"],
    ["weekly", "week"],
    ["monthly", "month"],
    ["yearly", "year"],
  ]) {
    const text = `Keep the newest of each ${unit}, for this many ${unit}s.`;
    command.option(`--keep-${period} <count>`, text, parseCount);
  }
  return command
    .option("--keep-tag <tag>", "Keep all that have this tag; may be given several times.", collect)
    .option(
      "--max-age-days <days>",
      "Remove snapshots that are older, even if a rule keeps them.",
      parseNumber,
    )
    .option(
      "--max-backups <count>",
      "Keep at most this many: the newest of those that the rules keep.",
      parseCount,
    )
    .option(
      "--time-zone <zone>",
      "The time zone for days, weeks and months, such as Europe/Berlin. Default: this machine's.",
    );
}

/** The policy alone: a member that a policy does not know is refused. */
export function policyOf(options: RetentionOptions): RetentionPolicy {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = options;
  const { keepTag: keepTags, maxAgeDays, maxBackups, timeZone } = options;
  const keep = { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepTags };
  return { ...keep, maxAgeDays, maxBackups, timeZone };
}

/** As it would be typed: `--keep-daily 7 --keep-tag keep`. */
export function policyInWords(policy: RetentionPolicy): string {
  return Object.entries(policy)
    .flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
    .flatMap(([key, value]) =>
      Array.isArray(value) ? value.map((each) => [key.replace(/s$/, ""), each]) : [[key, value]],
    )
    .map(
      ([key, value]) => `--${String(key).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${value}`,
    )
    .join(" ");
}
