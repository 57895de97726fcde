import { dirname, resolve } from "node:path";
import { ValidationError } from "../errors.ts";
import type { RetentionPolicy } from "../repository/index.ts";
import { formatS3Location, parseS3Location } from "../storage/s3/s3-location.ts";
import { parseDuration } from "./duration.ts";
import { type MetricsSettings, parseListen } from "./metrics/metrics-settings.ts";
import type { NotificationSection } from "./notification-schema.ts";
import type { PageSection } from "./page-schema.ts";
import { PolicyFileError, type PolicyProblem } from "./policy-file-error.ts";
import {
  type EncryptionSection,
  type MetricsSection,
  type PolicyFile,
  type PolicySection,
  policyFile,
  type RetentionSection,
  type SourceSection,
  type StorageSection,
  type VerificationSection,
} from "./policy-schema.ts";
import {
  Policy,
  type PolicySchedule,
  PolicySet,
  type PolicySettings,
  type PolicyStorage,
} from "./policy-set.ts";
import { assertTimeZone, parseSchedule, type Schedule } from "./run-schedule.ts";
import { shownValues } from "./shown-values.ts";
import { type KeyPath, YamlFile } from "./yaml-file.ts";

const HOUR_MS = 3_600_000;
const DEFAULT_CONCURRENCY = 2;

/** `loadPolicies`, with all that it needs to read YAML. */
export async function readPolicies(
  file: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<PolicySet> {
  if (typeof file !== "string") throw new TypeError("A configuration file's path must be a string.");
  const yaml = YamlFile.read(file, env);
  const parsed = policyFile.safeParse(yaml.value);
  if (!parsed.success) throw new PolicyFileError(file, problemsOf(yaml, parsed.error.issues));
  return new Loader(yaml, parsed.data).load();
}

interface Issue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

function problemsOf(yaml: YamlFile, issues: readonly Issue[]): PolicyProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((key) => typeof key !== "symbol");
    const paths =
      issue.code === "unrecognized_keys" ? (issue.keys ?? []).map((key) => [...path, key]) : [path];
    return paths.map((at) => {
      const isMissing = at.length > 0 && !yaml.has(at);
      const message = isMissing ? `it is missing: ${issue.message}` : issue.message;
      return { line: yaml.lineOf(at), key: at.join("."), message };
    });
  });
}

/** A value of a policy: its policy's name, its section, and its key there. */
type Place = readonly [policy: string, section: string, ...keys: (string | number)[]];

/** Fills in the defaults, and looks at what a schema cannot say. */
class Loader {
  readonly #yaml: YamlFile;
  readonly #file: PolicyFile;
  readonly #problems: PolicyProblem[] = [];
  /** Patterns and zones are few, and policies may be many. */
  readonly #schedules = new Map<string, Schedule | ValidationError>();
  /** What is wrong with a zone, by its name. */
  readonly #zones = new Map<string, string | undefined>();
  readonly #told = new Set<string>();

  constructor(yaml: YamlFile, file: PolicyFile) {
    this.#yaml = yaml;
    this.#file = file;
  }

  load(): PolicySet {
    const { policies, backup_manager: manager } = this.#file;
    const loaded = Object.entries(policies).map(([name, policy]) => {
      const settings = this.#settings(name, policy);
      return new Policy(settings, () => shownValues(this.#yaml, this.#file, settings));
    });
    const metrics = this.#metrics(manager?.metrics ?? {});
    if (loaded.length === 0) this.#add(["policies"], "it must have at least one policy");
    if (this.#problems.length > 0) throw new PolicyFileError(this.#yaml.file, this.#problems);
    return new PolicySet(this.#yaml.file, loaded, {
      concurrency: manager?.scheduling?.concurrency ?? DEFAULT_CONCURRENCY,
      metrics,
      page: this.#page(),
    });
  }

  #metrics({ listen: place, textfile, push }: MetricsSection): MetricsSettings {
    const listen = place === undefined ? undefined : parseListen(String(place));
    if (place !== undefined && !listen) {
      this.#add(["backup_manager", "metrics", "listen"], "it must have a port from 0 to 65535");
    }
    return { listen, textfile: textfile === undefined ? undefined : this.#path(textfile), push };
  }

  #page(): PageSection | undefined {
    const page = this.#file.backup_manager?.page;
    if (!page) return undefined;
    const { tls, restore_to: roots } = page;
    return {
      ...page,
      ...(tls && { tls: { cert: this.#path(tls.cert), key: this.#path(tls.key) } }),
      ...(roots && { restore_to: roots.map((root) => this.#path(root)) }),
    };
  }

  #settings(name: string, policy: PolicySection): PolicySettings {
    const { backup_manager: manager = {} } = this.#file;
    const compression = { ...manager.compression, ...policy.compression };
    const algorithm = compression.algorithm;
    if (algorithm === undefined && compression.level !== undefined) {
      this.#tell([name, "compression", "level"], "it needs an algorithm beside it: none, zstd or gzip");
    }
    const schedule = this.#schedule(name, policy);
    return {
      name,
      enabled: policy.enabled ?? true,
      description: policy.description,
      tags: policy.tags ?? [],
      sources: policy.sources.map((source) => this.#fromFile(source)),
      storage: this.#storage(name, { ...manager.storage, ...policy.storage }),
      ...(algorithm !== undefined && { compression: { ...compression, algorithm } }),
      encryption: this.#encryption(name, { ...manager.encryption, ...policy.encryption }),
      schedule,
      retention: this.#retention(name, { ...manager.retention, ...policy.retention }, schedule.timeZone),
      verification: this.#verification(name, { ...manager.verification, ...policy.verification }, schedule),
      notifications: this.#notifications(name, policy.notifications ?? manager.notifications ?? []),
      failOnShrink: this.#fraction(policy.fail_on_shrink) ?? false,
      allowEmpty: policy.allow_empty ?? false,
      audit: policy.audit ?? manager.audit,
    };
  }

  /** Paths are from the file's directory on: where the service is started does not matter. */
  #path(path: string): string {
    return /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : resolve(dirname(resolve(this.#yaml.file)), path);
  }

  #fromFile(source: SourceSection): SourceSection {
    switch (source.type) {
      case "lancedb":
      case "sqlite":
        return { ...source, path: this.#path(source.path) };
      case "files":
      case "filesystem": {
        const { exclude_from: from } = source;
        const excludeFrom = from === undefined ? {} : { exclude_from: this.#path(from) };
        return { ...source, paths: source.paths.map((path) => this.#path(path)), ...excludeFrom };
      }
      default:
        return source;
    }
  }

  #schedule(name: string, policy: PolicySection): PolicySchedule {
    const { scheduling = {} } = this.#file.backup_manager ?? {};
    const own = policy.schedule ?? {};
    const timeZone = own.timezone ?? scheduling.timezone ?? "UTC";

    const wrong = this.#zoneProblem(timeZone);
    if (wrong !== undefined) {
      this.#tell([name, "schedule", "timezone"], wrong);
      return { timeZone: "UTC", jitterMs: 0, retryWindowMs: HOUR_MS };
    }
    // Who says when one of them is, says when both are.
    const isOwn = own.full !== undefined || own.incremental !== undefined;
    const full = isOwn ? own.full : scheduling.full_backup;
    const incremental = isOwn ? own.incremental : scheduling.incremental_backup;
    const at = (key: string): Place => [name, "schedule", key];
    const time = (key: keyof typeof own & keyof typeof scheduling) => {
      const text = own[key] ?? scheduling[key];
      return text === undefined ? undefined : parseDuration(text);
    };
    return {
      timeZone,
      ...(full !== undefined && { full: this.#when(full, timeZone, at("full")) }),
      ...(incremental !== undefined && { incremental: this.#when(incremental, timeZone, at("incremental")) }),
      jitterMs: time("jitter") ?? 0,
      retryWindowMs: time("retry_window") ?? HOUR_MS,
      maxAgeMs: time("max_age"),
      timeoutMs: time("timeout"),
    };
  }

  #zoneProblem(timeZone: string): string | undefined {
    if (this.#zones.has(timeZone)) return this.#zones.get(timeZone);
    let problem: string | undefined;
    try {
      assertTimeZone(timeZone);
    } catch (error) {
      if (!(error instanceof ValidationError)) throw error;
      problem = error.message;
    }
    this.#zones.set(timeZone, problem);
    return problem;
  }

  #when(text: string, timeZone: string, place: Place): Schedule | undefined {
    const key = JSON.stringify([text, timeZone]);
    let schedule = this.#schedules.get(key);
    if (schedule === undefined) {
      try {
        schedule = parseSchedule(text, timeZone);
      } catch (error) {
        if (!(error instanceof ValidationError)) throw error;
        schedule = error;
      }
      this.#schedules.set(key, schedule);
    }
    if (!(schedule instanceof ValidationError)) return schedule;
    this.#tell(place, schedule.message);
    return undefined;
  }

  #storage(name: string, section: StorageSection): PolicyStorage {
    const { type, create } = section;
    const needs = (key: keyof StorageSection) =>
      this.#tell([name, "storage", "type"], `storage of type ${type} needs a ${key}`);
    if (type === undefined) {
      this.#tell([name, "storage"], "it must say where snapshots are kept: type local, s3 or url");
    } else if (type === "local") {
      if (section.path === undefined) needs("path");
      else return { location: this.#path(section.path), create };
    } else if (type === "url") {
      if (section.url === undefined) needs("url");
      else return { location: section.url, create };
    } else if (section.bucket === undefined) needs("bucket");
    else return { location: this.#bucket(name, section.bucket, section), create };
    return { location: "" };
  }

  #bucket(name: string, bucket: string, section: StorageSection): string {
    const location = formatS3Location({
      bucket,
      prefix: (section.prefix ?? "").replace(/^\/+/, ""),
      region: section.region,
      endpoint: section.endpoint,
      pathStyle: section.path_style,
      allowHttp: section.allow_http,
      storageClass: section.storage_class,
      serverSideEncryption: section.server_side_encryption,
    });
    try {
      return formatS3Location(parseS3Location(location));
    } catch (error) {
      if (!(error instanceof ValidationError)) throw error;
      this.#tell([name, "storage", "bucket"], error.message);
      return "";
    }
  }

  #encryption(name: string, section: EncryptionSection): EncryptionSection | undefined {
    const { enabled = true, provider } = section;
    if (Object.keys(section).length === 0 || !enabled) return undefined;
    const needed = {
      aws_kms: ["key_id"],
      passphrase: ["password_file", "password"],
      age: ["identity_file"],
      raw: ["key_file"],
    } as const;
    if (provider === undefined) {
      const place: Place = [name, "encryption"];
      this.#tell(place, "it needs a provider: aws_kms, passphrase, age or raw");
    } else if (needed[provider].every((key) => section[key] === undefined)) {
      const place: Place = [name, "encryption", "provider"];
      this.#tell(place, `the provider ${provider} needs ${needed[provider].join(" or ")}`);
    }
    const fromHere = (path: string | undefined) => (path === undefined ? undefined : this.#path(path));
    const { password_file, identity_file, key_file } = section;
    const files = {
      password_file: fromHere(password_file),
      identity_file: fromHere(identity_file),
      key_file: fromHere(key_file),
    };
    return { ...section, ...files };
  }

  #retention(name: string, section: RetentionSection, timeZone: string): PolicySettings["retention"] {
    const rules: RetentionPolicy = {
      keepLast: section.keep_last,
      keepHourly: section.keep_hourly,
      keepDaily: section.keep_daily,
      keepWeekly: section.keep_weekly,
      keepMonthly: section.keep_monthly,
      keepYearly: section.keep_yearly,
      keepTags: section.keep_tags,
      maxAgeDays: section.max_age_days,
      maxBackups: section.max_backups,
      timeZone,
    };
    const { schedule: text, grace_hours: graceHours } = section;
    const place: Place = [name, "retention", "schedule"];
    return {
      rules,
      graceHours,
      schedule: text === undefined ? undefined : this.#when(text, timeZone, place),
    };
  }

  #verification(
    name: string,
    section: VerificationSection,
    { timeZone }: PolicySchedule,
  ): PolicySettings["verification"] {
    const { enabled = true, schedule: text } = section;
    const place: Place = [name, "verification", "schedule"];
    const schedule = text === undefined ? undefined : this.#when(text, timeZone, place);
    return {
      schedule: enabled ? schedule : undefined,
      restoreTest: section.restore_test ?? false,
      readData: this.#fraction(section.read_data) ?? section.rolling === undefined,
      rollingMs: section.rolling === undefined ? undefined : parseDuration(section.rolling),
    };
  }

  #notifications(name: string, sections: readonly NotificationSection[]): NotificationSection[] {
    return sections.map((section, index) => {
      const tell = (key: string, message: string) => this.#tell([name, "notifications", index, key], message);
      if (section.type === "ping") return section;
      if (section.on !== undefined && section.severity !== undefined) {
        tell("severity", "use either this or on, not both");
      }
      if (section.type !== "mail") return section;
      const { tls, host, user, password, ca } = section;
      if ((user === undefined) !== (password === undefined))
        tell("user", "user and password must be given together");
      if (tls === "none" && password !== undefined && !isLoopback(host)) {
        tell("tls", "a password is only sent with TLS, except to this machine");
      }
      return { ...section, ...(ca !== undefined && { ca: this.#path(ca) }) };
    });
  }

  #fraction(value: boolean | number | string | undefined): boolean | number | undefined {
    return typeof value === "string" ? Number(value.slice(0, -1)) / 100 : value;
  }

  /** What is wrong with a default is told once, and not of every policy. */
  #tell([name, section, ...keys]: Place, message: string): void {
    const own: KeyPath = ["policies", name, section, ...keys];
    const path = defaultPath(section, keys);
    const isDefault = section === "notifications" ? !this.#yaml.has(own.slice(0, 3)) : !this.#yaml.has(own);
    this.#add(isDefault && this.#yaml.has(path.slice(0, -1)) ? path : own, message);
  }

  #add(path: KeyPath, message: string): void {
    const key = path.join(".");
    const told = `${key}\n${message}`;
    if (this.#told.has(told)) return;
    this.#told.add(told);
    this.#problems.push({ line: this.#yaml.lineOf(path), key, message: message.replace(/\.$/, "") });
  }
}

/** What a policy calls so among the defaults. */
function defaultPath(section: string, keys: KeyPath): KeyPath {
  if (section !== "schedule") return ["backup_manager", section, ...keys];
  const [key] = keys;
  const named = key === "full" || key === "incremental" ? `${key}_backup` : key;
  return ["backup_manager", "scheduling", ...(named === undefined ? [] : [named])];
}

const isLoopback = (host: string) => /^(localhost|127(\.\d+){3}|::1)$/i.test(host);
