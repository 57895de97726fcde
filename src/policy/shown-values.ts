import { placeShown } from "../repository/events.ts";
import type { PolicyFile } from "./policy-schema.ts";
import type { PolicySettings, ShownValue } from "./policy-set.ts";
import type { KeyPath, YamlFile } from "./yaml-file.ts";

/** Sections of a policy that have defaults, and what those are called. */
const SECTIONS = [
  ["storage", "storage"],
  ["compression", "compression"],
  ["encryption", "encryption"],
  ["schedule", "scheduling"],
  ["retention", "retention"],
  ["verification", "verification"],
] as const;

const RENAMED: Readonly<Record<string, string>> = { full_backup: "full", incremental_backup: "incremental" };

/** Each value of a policy with where it comes from; placeholders as they were written, and no secret. */
export function shownValues(yaml: YamlFile, file: PolicyFile, settings: PolicySettings): ShownValue[] {
  const { name, schedule } = settings;
  const policy = file.policies[name] ?? {};
  const values: ShownValue[] = [];
  const add = (key: string, path: KeyPath, value: unknown, origin = "") => {
    const from = `${yaml.file}:${yaml.lineOf(path)}${origin}`;
    if (!Array.isArray(value)) {
      values.push({ key, value: textOf(yaml, key, path, value), from });
    } else if (value.every((item) => typeof item !== "object")) {
      const items = value.map((item, index) => textOf(yaml, key, [...path, index], item));
      values.push({ key, value: key.endsWith(".command") ? commandShown(items) : items.join(", "), from });
    } else
      for (const [index, item] of value.entries()) addAll(`${key}.${index}`, [...path, index], item, origin);
  };
  const addAll = (key: string, path: KeyPath, section: object, origin = "") => {
    for (const [inner, value] of Object.entries(section)) {
      add(key === "" ? inner : `${key}.${inner}`, [...path, inner], value, origin);
    }
  };
  const sections = new Set<string>(SECTIONS.map(([section]) => section));
  const plain = Object.fromEntries(Object.entries(policy).filter(([key]) => !sections.has(key)));
  addAll("", ["policies", name], plain);
  const manager = file.backup_manager ?? {};
  for (const [section, called] of SECTIONS) {
    const own = policyEntries(policy, section);
    addAll(section, ["policies", name, section], own);
    const saysWhen = section === "schedule" && ("full" in own || "incremental" in own);
    for (const [key, value] of Object.entries(manager[called] ?? {})) {
      const inPolicy = section === "schedule" ? (RENAMED[key] ?? key) : key;
      if (inPolicy in own || key === "concurrency" || (saysWhen && key in RENAMED)) continue;
      add(`${section}.${inPolicy}`, ["backup_manager", called, key], value, " (defaults)");
    }
  }
  for (const key of ["notifications", "audit"] as const) {
    if (!(key in policy) && manager[key] !== undefined)
      add(key, ["backup_manager", key], manager[key], " (defaults)");
  }
  const shown = new Set(values.map(({ key }) => key));
  if (!shown.has("schedule.timezone")) values.push(builtIn("schedule.timezone", schedule.timeZone));
  if (!shown.has("schedule.retry_window")) values.push(builtIn("schedule.retry_window", "1h"));
  if (!shown.has("enabled")) values.push(builtIn("enabled", "true"));
  return values;
}

const builtIn = (key: string, value: string): ShownValue => ({ key, value, from: "built in" });

function policyEntries(policy: object, section: string): Readonly<Record<string, unknown>> {
  const value: unknown = Reflect.get(policy, section);
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function textOf(yaml: YamlFile, key: string, path: KeyPath, value: unknown): string {
  const written = yaml.writtenAt(path);
  if (written !== undefined) return withoutLiterals(written);
  if (/\.(password|secret)$/.test(key)) return "***";
  // A token may be all of its path.
  if (key.startsWith("notifications.") && key.endsWith(".url")) return new URL(String(value)).origin;
  if (/\.(connection|url|endpoint)$/.test(key)) return placeShown(value);
  return String(value);
}

/** Of a text with placeholders the placeholders: what stands between them may be a part of a secret. */
function withoutLiterals(written: string): string {
  const names = written.match(/\$\{[^}]*\}/g) ?? [];
  const alone = names.length === 1 && names[0] === written;
  return alone
    ? written.replace(/:-.*\}/, ":-…}")
    : names.map((name) => name.replace(/:-.*\}/, ":-…}")).join("…");
}

function commandShown(words: readonly string[]): string {
  return words.length < 2 ? words.join(" ") : `${words[0]} (and ${words.length - 1} more)`;
}
