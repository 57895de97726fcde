import { inspect } from "node:util";
import type { AuditMode, RetentionPolicy } from "../repository/index.ts";
import type { MetricsSettings } from "./metrics/metrics-settings.ts";
import type { NotificationSection } from "./notification-schema.ts";
import type { PageSection } from "./page-schema.ts";
import type { CompressionSection, EncryptionSection, SourceSection } from "./policy-schema.ts";
import type { Schedule } from "./run-schedule.ts";

/** When a policy runs. */
export interface PolicySchedule {
  /** When every byte is read again; undefined: never by itself. */
  readonly full?: Schedule | undefined;
  /** When what has changed is read. */
  readonly incremental?: Schedule | undefined;
  /** IANA name. */
  readonly timeZone: string;
  /** How late a run may be made on purpose, milliseconds. */
  readonly jitterMs: number;
  /** The age of the last success from which on it is overdue, milliseconds; undefined: by its schedule. */
  readonly maxAgeMs?: number | undefined;
  /** How long a failed run is tried again, milliseconds. */
  readonly retryWindowMs: number;
  readonly timeoutMs?: number | undefined;
}

/** What is removed when. */
interface PolicyRetention {
  readonly rules: RetentionPolicy;
  readonly graceHours?: number | undefined;
  /** Undefined: after each backup. */
  readonly schedule?: Schedule | undefined;
}

/** What is verified when. */
interface PolicyVerification {
  /** Undefined: never by itself. */
  readonly schedule?: Schedule | undefined;
  readonly restoreTest: boolean;
  readonly readData: boolean | number;
  /** In which time every blob of the repository is read by turns; undefined: they are not. */
  readonly rollingMs?: number | undefined;
}

/** Where a policy's snapshots are kept. */
export interface PolicyStorage {
  /** A path or an address, as `Repository.open` takes it. It never holds a secret. */
  readonly location: string;
  /** Whether a repository is made where there is none; undefined: where that cannot be a disk that is not mounted. */
  readonly create?: boolean | undefined;
}

/** One value of a policy, for people: what a placeholder stands for, and what is secret, is not in it. */
export interface ShownValue {
  /** `retention.keep_daily` */
  readonly key: string;
  readonly value: string;
  /** `backup.yaml:12`, with `defaults` behind it where it holds for every policy; or `built in`. */
  readonly from: string;
}

/** What a policy says, with the defaults of its file filled in. */
export interface PolicySettings {
  readonly name: string;
  /** Whether it runs by its schedule. */
  readonly enabled: boolean;
  readonly description?: string | undefined;
  readonly tags: readonly string[];
  readonly sources: readonly SourceSection[];
  readonly storage: PolicyStorage;
  readonly compression?: CompressionSection | undefined;
  /** Undefined: none. */
  readonly encryption?: EncryptionSection | undefined;
  readonly schedule: PolicySchedule;
  readonly retention: PolicyRetention;
  readonly verification: PolicyVerification;
  /** The policy's own, or else those of all policies. */
  readonly notifications: readonly NotificationSection[];
  readonly failOnShrink: boolean | number;
  readonly allowEmpty: boolean;
  /** What is recorded in its repository's audit log. Undefined: as `Repository.open` does by default. */
  readonly audit?: AuditMode | undefined;
}

/**
 * A policy: what is backed up when and where to, how long it is kept, and how it is verified. It may hold passwords; whatever prints it
 * (`JSON.stringify`, `console.log`) gets what `show` answers with, which does not.
 */
export class Policy {
  readonly name: string;
  readonly #settings: PolicySettings;
  readonly #shown: () => readonly ShownValue[];

  /** @internal */
  constructor(settings: PolicySettings, shown: () => readonly ShownValue[]) {
    this.name = settings.name;
    this.#settings = settings;
    this.#shown = shown;
  }

  /** With its secrets. */
  get settings(): PolicySettings {
    return this.#settings;
  }

  /** Each value, with where it comes from. Without secrets. */
  show(): readonly ShownValue[] {
    return this.#shown();
  }

  toJSON(): Record<string, unknown> {
    return { name: this.name, ...Object.fromEntries(this.show().map(({ key, value }) => [key, value])) };
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }
}

/** The policies of a file. */
export class PolicySet implements Iterable<Policy> {
  /** The file, as it was named. */
  readonly file: string;
  /** So many run at a time. */
  readonly concurrency: number;
  /** The page that is served of them; undefined: none. @internal */
  readonly page: PageSection | undefined;
  readonly #policies: ReadonlyMap<string, Policy>;
  readonly #metrics: MetricsSettings;

  /** @internal */
  constructor(
    file: string,
    policies: readonly Policy[],
    { concurrency, metrics, page }: Pick<PolicySet, "concurrency" | "metrics" | "page">,
  ) {
    this.file = file;
    this.concurrency = concurrency;
    this.#metrics = metrics;
    this.page = page;
    this.#policies = new Map(policies.map((policy) => [policy.name, policy]));
  }

  /** How metrics are told. With its secrets. @internal */
  get metrics(): MetricsSettings {
    return this.#metrics;
  }

  get names(): readonly string[] {
    return [...this.#policies.keys()];
  }

  /**
   * The policy of this name; undefined where there is none.
   *
   * @example
   * ```ts
   * const nightly = policies.get("nightly");
   * ```
   */
  get(name: string): Policy | undefined {
    return this.#policies.get(name);
  }

  [Symbol.iterator](): Iterator<Policy> {
    return this.#policies.values();
  }
}
