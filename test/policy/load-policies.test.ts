import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadPolicies, PolicyFileError, type PolicySet, ValidationError } from "../../src/index.ts";
import { policySchemaText } from "../../src/policy/policy-schema.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "policies-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const SEED = join(import.meta.dirname, "seed-policy.yaml");
const STORAGE = "backup_manager: { storage: { type: local, path: vault } }\n";
const SOURCES = "sources: [{ type: lancedb, path: /data/db }]";

const placeholder = (name: string) => `\${${name}}`;

function load(text: string, env: Record<string, string> = {}): Promise<PolicySet> {
  const file = join(dir, "backup.yaml");
  writeFileSync(file, text);
  return loadPolicies(file, env);
}

/** What is wrong, as `line key: message`. */
async function problemsOf(text: string, env: Record<string, string> = {}): Promise<string[]> {
  const error: unknown = await load(text, env).catch((thrown: unknown) => thrown);
  if (!(error instanceof PolicyFileError)) throw new Error(`no PolicyFileError: ${inspect(error)}`);
  expect(error).toBeInstanceOf(ValidationError);
  for (const { line } of error.problems) expect(error.message).toContain(`backup.yaml:${line}: `);
  return error.problems.map(({ line, key, message }) => `${line} ${key}: ${message}`);
}

const onePolicy = (rest: string) => `${STORAGE}policies:\n  one:\n    ${SOURCES}\n${rest}`;

describe("the configuration of the project's description", () => {
  test("loads as it is, with its defaults and what its policies say otherwise", async () => {
    const set = await loadPolicies(SEED, { DB_URL: "postgresql://me:s3cret@db/app" });
    expect(set.names).toEqual(["database", "files"]);
    const { settings } = set.get("database")!;
    expect(settings.sources).toEqual([
      { type: "postgresql", connection: "postgresql://me:s3cret@db/app", schemas: ["public"] },
    ]);
    expect(settings.storage.location).toBe("s3://backups-bucket/prod?region=us-west-2");
    expect(settings.compression).toEqual({ algorithm: "zstd", level: 3 });
    expect(settings.encryption).toMatchObject({ provider: "aws_kms", key_id: "alias/backup-key" });
    expect(settings.schedule.full?.text).toBe("0 0 * * 0");
    expect(settings.schedule.incremental?.text).toBe("0 */6 * * *");
    expect(settings.verification).toMatchObject({ schedule: { text: "0 12 * * *" }, restoreTest: true });
    const files = set.get("files")!.settings;
    // Who says when one kind runs, says when both do; the rest is filled in key by key.
    expect(files.schedule.incremental).toBeUndefined();
    expect(files.retention.rules).toMatchObject({
      keepDaily: 30,
      keepWeekly: 4,
      keepMonthly: 12,
      timeZone: "UTC",
    });
  });

  test("paths are from the file's directory on, wherever it is loaded", async () => {
    const set = await load(`${STORAGE}policies:
  one:
    sources:
      - { type: lancedb, path: db }
      - { type: sqlite, path: ../app.sqlite }
      - { type: files, paths: [uploads, /etc], exclude_from: ignore }
`);
    expect(set.get("one")?.settings.sources).toEqual([
      { type: "lancedb", path: join(dir, "db") },
      { type: "sqlite", path: join(dir, "../app.sqlite") },
      { type: "files", paths: [join(dir, "uploads"), "/etc"], exclude_from: join(dir, "ignore") },
    ]);
  });

  test("says which variable is missing, and on which line", async () => {
    const error: unknown = await loadPolicies(SEED, {}).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      problems: [
        {
          line: 37,
          key: "policies.database.sources.connection",
          message: "the environment variable DB_URL is not set",
        },
      ],
    });
  });
});

test("policy.schema.json is what the schema says (npm run policy-schema)", () => {
  const file = join(import.meta.dirname, "../../policy.schema.json");
  expect(readFileSync(file, "utf8")).toBe(policySchemaText());
});

describe("placeholders", () => {
  test("of the environment, of files and of credentials are filled in after parsing", async () => {
    mkdirSync(join(dir, "credentials"));
    writeFileSync(join(dir, "secret"), "p: [w\n");
    writeFileSync(join(dir, "credentials/db"), "from systemd");
    const set = await load(
      `${STORAGE}policies:
  one:
    sources: [{ type: mysql, connection: "mysql://\${USER_NAME}:\${file:${dir}/secret}@h/\${NONE:-app}" }]
    description: "\${credential:db} $\${USER_NAME} $5"
`,
      { USER_NAME: `a: b # c\n- $\{file:/etc/passwd}`, CREDENTIALS_DIRECTORY: join(dir, "credentials") },
    );
    const { settings } = set.get("one")!;
    expect(settings.sources[0]).toMatchObject({
      connection: `mysql://a: b # c\n- $\{file:/etc/passwd}:p: [w@h/app`,
    });
    expect(settings.description).toBe(`from systemd $\{USER_NAME} $5`);
  });

  test("that cannot be filled in are all told, and no other value is", async () => {
    const problems = await problemsOf(
      onePolicy(`    description: "\${A} \${file:${dir}/none}"
    tags:
      - "\${file:relative}"
      - "\${credential:../x}"
      - "\${credential:x}"
      - "\${1}"
`),
      { SECRET: "s3cret" },
    );
    expect(problems).toEqual([
      "5 policies.one.description: the environment variable A is not set",
      expect.stringContaining(`5 policies.one.description: ${dir}/none cannot be read: ENOENT`),
      `7 policies.one.tags: $\{file:relative} must have an absolute path`,
      `8 policies.one.tags: $\{credential:../x} must name a credential`,
      expect.stringContaining("9 policies.one.tags: the credential x is not there"),
      expect.stringContaining(`10 policies.one.tags: $\{1} is not a placeholder`),
    ]);
  });
});

describe("secrets", () => {
  const text = `backup_manager:
  storage: { type: local, path: vault }
  encryption: { provider: passphrase, password: in-the-file }
policies:
  one:
    sources:
      - { type: postgresql, connection: "postgresql://me:pa55@h/app?password=pa55" }
      - { type: mysql, connection: "mysql://me:\${PASSWORD}@h/app" }
      - { type: mysql, connection: "\${URL:-mysql://me:0therwise@h/app}" }
      - { type: command, name: dump, command: [dump, "--password=pa55"] }
`;
  const env = { PASSWORD: "fr0m-the-environment" };
  const secrets = /in-the-file|pa55|fr0m-the-environment|0therwise/;

  test("are in what runs, and in nothing that prints a policy", async () => {
    const policy = (await load(text, env)).get("one")!;
    expect(JSON.stringify(policy.settings)).toMatch(secrets);
    const shown = Object.fromEntries(policy.show().map(({ key, value }) => [key, value]));
    expect(shown).toMatchObject({
      "encryption.password": "***",
      "sources.0.connection": "postgresql://h/app",
      "sources.1.connection": placeholder("PASSWORD"),
      "sources.2.connection": placeholder("URL:-…"),
      "sources.3.command": "dump (and 1 more)",
    });
    const printed = [JSON.stringify(policy), inspect(policy, { depth: 9 }), JSON.stringify(policy.show())];
    for (const print of printed) expect(print).not.toMatch(secrets);
  });

  test("are in no error", async () => {
    const wrong = text
      .replace("type: mysql, connection", "type: mysqll, connection")
      .replace("type: command, name: dump", `type: command, name: '$\{PASSWORD} '`)
      .replace("passphrase", `'$\{PASSWORD}'`);
    const problems = await problemsOf(wrong, env);
    expect(problems.length).toBeGreaterThan(2);
    expect(problems.join("\n")).not.toMatch(secrets);
  });
});

describe("show", () => {
  test("says of each value where it comes from", async () => {
    const policy = (
      await load(`backup_manager:
  storage:
    type: local
    path: vault
  scheduling: { full_backup: "@daily", incremental_backup: 1h, jitter: 5m }
  retention: { keep_daily: 7, keep_weekly: 4 }
policies:
  one:
    ${SOURCES}
    schedule: { full: 2d }
    retention:
      keep_daily: 30
`)
    ).get("one")!;
    const shown = policy.show().map(({ key, value, from }) => `${key} = ${value} (${from.replace(dir, "")})`);
    expect(shown).toEqual([
      "sources.0.type = lancedb (/backup.yaml:9)",
      "sources.0.path = /data/db (/backup.yaml:9)",
      "storage.type = local (/backup.yaml:3 (defaults))",
      "storage.path = vault (/backup.yaml:4 (defaults))",
      "schedule.full = 2d (/backup.yaml:10)",
      "schedule.jitter = 5m (/backup.yaml:5 (defaults))",
      "retention.keep_daily = 30 (/backup.yaml:12)",
      "retention.keep_weekly = 4 (/backup.yaml:6 (defaults))",
      "schedule.timezone = UTC (built in)",
      "schedule.retry_window = 1h (built in)",
      "enabled = true (built in)",
    ]);
    expect(policy.settings.storage.location).toBe(join(dir, "vault"));
  });

  test("what the audit log records is one of three, of all policies or of one", async () => {
    const text = `backup_manager: { audit: off, storage: { type: local, path: vault } }
policies:
  one: { ${SOURCES} }
  two: { ${SOURCES}, audit: all }
`;
    const set = await load(text);
    expect([...set].map(({ settings }) => settings.audit)).toEqual(["off", "all"]);
    const shown = [...set].map((policy) => policy.show().find(({ key }) => key === "audit"));
    const file = join(dir, "backup.yaml");
    expect(shown).toEqual([
      { key: "audit", value: "off", from: `${file}:1 (defaults)` },
      { key: "audit", value: "all", from: `${file}:4` },
    ]);
    expect(await problemsOf(text.replace("off", "no"))).toEqual([
      "1 backup_manager.audit: it must be one of auto, all, off",
    ]);
  });
});

describe("what is wrong is told with its line, its key and what is allowed, all of it at once", () => {
  test("unknown keys, wrong types, missing keys and values out of range", async () => {
    const problems = await problemsOf(`backup_manager:
  storage: { type: local, path: vault, bukket: x }
  retention:
    keep_daily: "7"
    keep_last: 0
policies:
  one:
    sources:
      - type: lancedb
      - type: postgres
    schedule: hourly
    fail_on_shrink: most
  "a b": { ${SOURCES} }
  three: {}
extra: 1
`);
    expect(problems).toEqual([
      expect.stringMatching(
        /^2 backup_manager\.storage\.bukket: there is no such key; there are type, path, bucket,/,
      ),
      "4 backup_manager.retention.keep_daily: it must be a whole number from 1",
      "5 backup_manager.retention.keep_last: it must be a whole number from 1",
      "9 policies.one.sources.0.path: it is missing: it must be a text",
      expect.stringMatching(
        /^10 policies\.one\.sources\.1\.type: there is no such type; there are lancedb, filesystem,/,
      ),
      expect.stringMatching(/^11 policies\.one\.schedule: it must be a mapping with full, incremental,/),
      "12 policies.one.fail_on_shrink: it must be true or false, a number from 0 to below 1, or a percentage such as 50%",
      expect.stringMatching(/^13 policies\.a b: a policy's name must be 1 to 100 letters/),
      "14 policies.three.sources: it is missing: it must be a list of sources",
      "15 extra: there is no such key; there are backup_manager, policies",
    ]);
  });

  test("an address that no request could be sent to, without what is in it", async () => {
    const problems = await problemsOf(`backup_manager:
  storage: { type: local, path: vault }
  notifications:
    - { type: ping, url: "https://ping.example:99999/t0ken" }
    - { type: slack, url: "https://[::1/t0ken" }
    - { type: webhook, url: "http://a b/t0ken" }
  metrics: { push: { url: "http://gateway:port/t0ken" } }
policies:
  one: { ${SOURCES} }
`);
    const why = "it is not a valid address: is its host or its port wrong?";
    expect(problems).toEqual([
      `4 backup_manager.notifications.0.url: ${why}`,
      `5 backup_manager.notifications.1.url: ${why}`,
      `6 backup_manager.notifications.2.url: ${why}`,
      `7 backup_manager.metrics.push.url: ${why}`,
    ]);
  });

  test("what a schema cannot say: storage, keys, patterns, zones; of a default once", async () => {
    const problems = await problemsOf(`backup_manager:
  storage: { type: s3 }
  encryption: { enabled: true, provider: aws_kms }
  scheduling: { timezone: Mars/Olympus, full_backup: "0 0 31 2 *" }
policies:
  one: { ${SOURCES} }
  two: { ${SOURCES}, schedule: { timezone: UTC, incremental: "0 0 30 2 *" } }
  three: { ${SOURCES}, schedule: { timezone: UTC, full: 61 * * * *, incremental: "0 ? * * *" } }
  four: { ${SOURCES}, schedule: { timezone: UTC }, compression: { level: 3 } }
  five: { ${SOURCES}, schedule: { full: 100ms, timezone: UTC }, storage: { bucket: "../x" } }
`);
    expect(problems).toEqual([
      "2 backup_manager.storage.type: storage of type s3 needs a bucket",
      "3 backup_manager.encryption.provider: the provider aws_kms needs key_id",
      '4 backup_manager.scheduling.timezone: "Mars/Olympus" is not a time zone; use an IANA name, such as Europe/Berlin or UTC',
      expect.stringMatching(/^4 backup_manager\.scheduling\.full_backup: The pattern never fires/),
      expect.stringMatching(/^7 policies\.two\.schedule\.incremental: The pattern never fires/),
      expect.stringMatching(/^8 policies\.three\.schedule\.full: Invalid value for minute: 61/),
      expect.stringMatching(/^8 policies\.three\.schedule\.incremental: A pattern has no "\?"/),
      "9 policies.four.compression.level: it needs an algorithm beside it: none, zstd or gzip",
      "10 policies.five.schedule.full: An interval must be one second or more",
      expect.stringMatching(/^10 policies\.five\.storage\.bucket: s3:/),
    ]);
  });

  test.each([
    ["a tab for indentation", "policies:\n\tone: 1\n", /^2 : .*[Tt]ab/],
    [
      "a name that is there twice",
      `${STORAGE}policies:\n  one: {}\n  one: {}\n`,
      /^4 policies: "one" is there twice$/,
    ],
    ["two documents", "a: 1\n---\nb: 2\n", /documents/],
    ["a quote that is not closed", 'policies: "x\n', /^\d : .*quote/],
    ["a tag that YAML does not have", "policies: !!js/function x\n", /^1 : .*tag/],
    ["a list where a mapping is to be", "- 1\n", /^1 : it must be a mapping with backup_manager, policies$/],
    ["nothing at all", "", /^1 : it must be a mapping with backup_manager, policies$/],
    ["no policy", `${STORAGE}policies: {}\n`, /^2 policies: it must have at least one policy$/],
    [
      "a name that JavaScript knows",
      `${STORAGE}policies:\n  __proto__: {}\n`,
      /^3 policies: a key must not be __proto__$/,
    ],
  ])("%s", async (_what, text, expected) => {
    expect((await problemsOf(text)).join("\n")).toMatch(expected);
  });

  test("a few lines of aliases that stand for a billion values are refused at once", async () => {
    const lines = Array.from({ length: 12 }, (_, i) =>
      i === 0
        ? "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"
        : `a${i}: &a${i} [${Array(10)
            .fill(`*a${i - 1}`)
            .join(", ")}]`,
    );
    expect((await problemsOf(`${lines.join("\n")}\n`)).join("\n")).toMatch(/alias/);
  });

  test("what refers to itself, is nested too deeply, or is too long for any clock", async () => {
    expect((await problemsOf(`${STORAGE}policies: &a { one: *a }\n`)).length).toBeGreaterThan(0);
    const deep = `policies: ${"[".repeat(20_000)}${"]".repeat(20_000)}\n`;
    expect(await problemsOf(deep)).toEqual([expect.stringMatching(/^1 .*nested too deeply$/)]);
    const times = "full: 99999999999d, timeout: 25d, max_age: 99999999999d";
    expect(await problemsOf(`${STORAGE}policies:\n  one: { ${SOURCES}, schedule: { ${times} } }\n`)).toEqual([
      "3 policies.one.schedule.max_age: it must be at most 36500d",
      "3 policies.one.schedule.timeout: it must be at most 24d",
    ]);
    const interval = `${STORAGE}policies:\n  one: { ${SOURCES}, schedule: { full: 99999999999d } }\n`;
    expect(await problemsOf(interval)).toEqual([
      "3 policies.one.schedule.full: An interval must be a hundred years or less",
    ]);
  });

  test("one alias is fine, and an error in it is told where it stands", async () => {
    const text = `${STORAGE}policies:
  one: &one
    ${SOURCES}
    retention: &kept { keep_daily: 7 }
  two:
    ${SOURCES}
    retention: *kept
`;
    expect((await load(text)).get("two")?.settings.retention.rules.keepDaily).toBe(7);
    expect(await problemsOf(text.replace("7", "x"))).toContain(
      "5 policies.two.retention.keep_daily: it must be a whole number from 1",
    );
  });

  test("a file that is not there, or not UTF-8", async () => {
    await expect(loadPolicies(join(dir, "none.yaml"))).rejects.toThrow("none.yaml");
    const file = join(dir, "latin.yaml");
    writeFileSync(file, Buffer.from([0x61, 0x3a, 0x20, 0xe4]));
    await expect(loadPolicies(file)).rejects.toThrow("not UTF-8");
  });
});
