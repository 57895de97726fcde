import { z } from "zod";
import { AUDIT_MODES } from "../repository/audit-trail.ts";
import { LISTEN } from "./metrics/metrics-settings.ts";
import { notification } from "./notification-schema.ts";
import { page } from "./page-schema.ts";
import {
  address,
  choice,
  duration,
  flag,
  fraction,
  label,
  list,
  schedule,
  section,
  text,
  whole,
} from "./policy-fields.ts";

// What a configuration file may hold. The JSON Schema of the package is made from this (scripts/policy-schema.ts).

const storage = section({
  type: choice(
    ["local", "s3", "url"],
    "Where snapshots are kept: a directory, a bucket, or what a URL names.",
  ),
  path: text("Of a local repository: its directory, from the file's directory on.").optional(),
  bucket: text("Of S3: the bucket.").optional(),
  prefix: text("Of S3: what the names of all objects begin with.").optional(),
  region: text("Of S3: the region.").optional(),
  endpoint: text("Of S3: a store that is not AWS, https://host:port.").optional(),
  path_style: flag("Of S3: requests have the bucket in their path, not in the host's name.").optional(),
  allow_http: flag("Of S3: an endpoint without TLS is accepted.").optional(),
  storage_class: text("Of S3: the class of large objects.").optional(),
  server_side_encryption: text(
    "Of S3: encryption by the store, AES256, aws:kms or aws:kms:<key>.",
  ).optional(),
  url: text("A location with any registered scheme, such as s3://bucket/prefix.").optional(),
  create: flag(
    "Whether a repository is made if there is none. Default: yes, except in an empty directory, where a disk may not be mounted.",
  ).optional(),
});

const compression = section({
  algorithm: choice(["none", "zstd", "gzip"], "How blobs of a new repository are compressed."),
  level: whole("zstd: 1 to 19; gzip: 1 to 9.", 1, 19).optional(),
});

const encryption = section({
  enabled: flag("Whether a new repository is encrypted. Default true.").optional(),
  provider: choice(
    ["aws_kms", "passphrase", "age", "raw"],
    "What kind of key opens the repository.",
  ).optional(),
  key_id: text("aws_kms: the key's id, ARN or alias.").optional(),
  region: text("aws_kms: its region.").optional(),
  endpoint: text("aws_kms: another endpoint.").optional(),
  password: text("passphrase: better in password_file, or a placeholder.").optional(),
  password_file: text("passphrase: a file that holds it.").optional(),
  recipients: list("age: public keys of others, who can open a new repository too.").optional(),
  identity_file: text("age: a file with the private key.").optional(),
  key_file: text("raw: a file with the key.").optional(),
});

/** Node's timers take less than 25 days; longer ones end at once. */
const LONGEST_TIMEOUT = "24d";

const timing = {
  timezone: text("IANA name of the zone of cron patterns. Default UTC.").optional(),
  jitter: duration(
    "Each run is delayed by up to this much; always the same delay for one policy and time.",
  ).optional(),
  max_age: duration(
    "The policy is overdue if its last success is older than this. Default: if a run and its retries were missed.",
  ).optional(),
  retry_window: duration(
    "How long a failed run is tried again. Default 1h, and half of the time to the next run at most.",
  ).optional(),
  timeout: duration("A run that takes longer is stopped.", LONGEST_TIMEOUT).optional(),
};

const scheduling = section({
  full_backup: schedule("When every byte is read again").optional(),
  incremental_backup: schedule("When what has changed is read").optional(),
  ...timing,
  concurrency: whole("How many policies run at the same time. Default 2.", 1, 1000).optional(),
});

const policySchedule = section({
  full: schedule("When every byte is read again").optional(),
  incremental: schedule("When what has changed is read").optional(),
  ...timing,
});

const retention = section({
  keep_last: whole("How many of the newest to keep.").optional(),
  keep_hourly: whole("Keep the newest of each of this many hours.").optional(),
  keep_daily: whole("Keep the newest of each of this many days.").optional(),
  keep_weekly: whole("Keep the newest of each of this many weeks.").optional(),
  keep_monthly: whole("Keep the newest of each of this many months.").optional(),
  keep_yearly: whole("Keep the newest of each of this many years.").optional(),
  keep_tags: list("Snapshots with one of these tags stay.").optional(),
  max_age_days: z
    .number("it must be a number above 0")
    .gt(0, "it must be above 0")
    .meta({ description: "Older ones are removed." })
    .optional(),
  max_backups: whole("Keep at most this many.").optional(),
  grace_hours: z
    .number("it must be a number from 0")
    .min(0, "it must be 0 or more")
    .meta({ description: "How long unneeded blobs stay. Default 24." })
    .optional(),
  schedule: schedule("When snapshots are removed. Default: after each backup").optional(),
});

const verification = section({
  enabled: flag("Default true where there is a schedule.").optional(),
  schedule: schedule("When the newest snapshot is verified").optional(),
  restore_test: flag(
    "Also restore it into a temporary directory, and read it there. Default false.",
  ).optional(),
  read_data: fraction("How much of the blobs is read: true, false, or a fraction such as 10%.").optional(),
  rolling: duration(
    "Every blob of the repository is read once within this time, a share in each run; read_data is then false unless it is given.",
  ).optional(),
});

const tablesOf = {
  tables: list("Only these of its tables.").optional(),
  exclude: list("What of it is left out; * and ? stand for characters.").optional(),
};
const id = label("The source's id. Default: made from its address or path.").optional();
const connection = text(
  "Its address. A password is better filled in from the environment or a file than written here.",
);

const source = z
  .discriminatedUnion(
    "type",
    [
      section({
        type: z.literal("lancedb"),
        path: text("The database's directory."),
        ...tablesOf,
        on_unsupported: choice(
          ["fail", "leave-out"],
          "What to do with a table that cannot be captured in full.",
        ).optional(),
        history: choice(["all", "latest"], "Whether older versions of tables are taken too.").optional(),
        id,
      }),
      section({
        type: z.enum(["filesystem", "files"]),
        paths: list("Directories and files."),
        exclude: list("Patterns as in .gitignore.").optional(),
        exclude_from: text("A file with such patterns.").optional(),
        one_file_system: flag("Stay on the file system of each path.").optional(),
      }),
      section({
        type: z.literal("sqlite"),
        path: text("The database's file."),
        compact: flag("Take a compacted copy.").optional(),
        id,
      }),
      section({
        type: z.literal("postgresql"),
        connection,
        schemas: list("These schemas alone.").optional(),
        ...tablesOf,
        format: choice(["custom", "directory", "sql", "tar"], "Of the dump.").optional(),
        jobs: whole("How many processes at the same time.").optional(),
        id,
      }),
      section({ type: z.enum(["mysql", "mariadb"]), connection, ...tablesOf, id }),
      section({
        type: z.literal("command"),
        command: list("A program and its arguments, whose output is kept. No shell."),
        name: label("The source's name."),
      }),
    ],
    {
      error: (issue) =>
        issue.code === "invalid_union"
          ? "there is no such type; there are lancedb, filesystem, files, sqlite, postgresql, mysql, mariadb, command"
          : "it must be a mapping with a type",
    },
  )
  .meta({ description: "What is backed up." });

const place =
  "it must be a port of this machine alone, or a host and a port: 9469, 127.0.0.1:9469, [::1]:9469";

const metrics = section({
  listen: z
    .union([z.int(place).min(0, place).max(65_535, place), z.string(place).regex(LISTEN, place)], place)
    .meta({
      description:
        "The service serves /metrics there, in Prometheus' format; with a port alone only on this machine.",
    })
    .optional(),
  textfile: z
    .string("it must be a text")
    .regex(/\.prom$/, "it must be a file that ends with .prom: node_exporter reads no other")
    .meta({ description: "run --once writes this file, for node_exporter's collector of text files." })
    .optional(),
  push: section({
    url: address("Address of the Pushgateway that run --once pushes to."),
    job: text("Default lancedb-backup.").optional(),
    instance: text("Default: the machine's name.").optional(),
    authorization: text(
      "An Authorization header for a proxy in front of it, such as Bearer …; best a placeholder.",
    ).optional(),
  }).optional(),
});

/** What may stand for all policies and for one has an id: the JSON Schema says it once. */
const defaults = {
  notifications: z
    .array(notification, "it must be a list of notifications")
    .meta({ id: "notifications" })
    .optional(),
  storage: storage.extend({ type: storage.shape.type.optional() }).meta({ id: "storage" }).optional(),
  compression: compression
    .extend({ algorithm: compression.shape.algorithm.optional() })
    .meta({ id: "compression" })
    .optional(),
  encryption: encryption.meta({ id: "encryption" }).optional(),
  retention: retention.meta({ id: "retention" }).optional(),
  verification: verification.meta({ id: "verification" }).optional(),
  audit: choice(
    AUDIT_MODES,
    "What the repository's audit log records: all, off, or auto, which is all but backups that went well in a store.",
  ).optional(),
};

const policy = section({
  sources: z.array(source, "it must be a list of sources").min(1, "it must name at least one source"),
  schedule: policySchedule.optional(),
  ...defaults,
  enabled: flag("Whether it runs by its schedule. Default true.").optional(),
  description: text("For every snapshot.").optional(),
  tags: z
    .array(label("A tag."), "it must be a list of tags")
    .meta({ description: "For every snapshot." })
    .optional(),
  fail_on_shrink: fraction(
    "Fail if a table is gone, or has lost more than this fraction of its rows.",
  ).optional(),
  allow_empty: flag("Take a snapshot even of an empty source.").optional(),
});

/** The file. */
export const policyFile = section({
  backup_manager: section({
    ...defaults,
    scheduling: scheduling.optional(),
    metrics: metrics.optional(),
    page: page.optional(),
  })
    .optional()
    .meta({ description: "Defaults for every policy." }),
  policies: z
    .record(label("A policy's name, which its snapshots get too."), policy, {
      error: (issue) =>
        issue.code === "invalid_key"
          ? "a policy's name must be 1 to 100 letters, digits and _ . : + @ -, beginning with a letter or digit"
          : "it must be a mapping from names to policies",
    })
    .meta({ description: "What is backed up when, by name." }),
});

export type PolicyFile = z.infer<typeof policyFile>;
export type MetricsSection = z.infer<typeof metrics>;
export type PolicySection = PolicyFile["policies"][string];
export type SourceSection = z.infer<typeof source>;
export type StorageSection = NonNullable<PolicySection["storage"]>;
export type EncryptionSection = z.infer<typeof encryption>;
export type RetentionSection = z.infer<typeof retention>;
export type VerificationSection = z.infer<typeof verification>;
export type CompressionSection = z.infer<typeof compression>;

/** As a JSON Schema, of draft 2020-12: what lies in policy.schema.json. */
export function policySchemaText(): string {
  const { $schema, ...schema } = z.toJSONSchema(policyFile, {
    io: "input",
    // An "id" is no keyword of the draft, and validators refuse it.
    override: ({ jsonSchema }) => void delete jsonSchema.id,
  });
  const titled = { $schema, title: "lancedb-backup policies", ...schema };
  return `${JSON.stringify(titled, null, 2)}\n`;
}
