import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { BackupService, loadPolicies, passphrase, Repository } from "../../src/index.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { KMS_REGION, kmsServer } from "../support/kms-server.ts";
import { usePostgres, whyNoPostgres } from "../support/sql-servers.ts";

const PASSWORD = "corr3ct horse battery";

/** Policies beside a LanceDB and a SQLite database. */
async function newPlace() {
  const directory = await newDirectory();
  await (await connect(join(directory, "db"))).createTable("t", [{ id: 1 }]);
  const sqlite = new DatabaseSync(join(directory, "app.sqlite"));
  sqlite.exec("create table t (id integer primary key); insert into t values (1), (2)");
  sqlite.close();
  const { logger, logged } = recordingLogger();
  const service = async (text: string, env: Record<string, string> = {}) => {
    const file = join(directory, "backup.yaml");
    writeFileSync(file, text);
    const made = new BackupService(await loadPolicies(file, env), { logger });
    onTestFinished(() => made.stop());
    return made;
  };
  return { directory, vault: join(directory, "vault"), logger, logged, service };
}

describe("sources", () => {
  test("of several kinds are taken together; what one is asked for, others are not", async () => {
    const { directory, vault, logger, service } = await newPlace();
    await (await connect(join(directory, "db"))).createTable("left_out", [{ id: 1 }]);
    const backups = await service(`backup_manager: { storage: { type: local, path: vault } }
policies:
  app:
    sources:
      - { type: lancedb, path: ${directory}/db, exclude: ["left_*"] }
      - { type: sqlite, path: ${directory}/app.sqlite, id: companion }
`);
    const { outcome, error, snapshot } = await backups.run("app");
    expect(error).toBeUndefined();
    expect(outcome).toBe("success");
    expect(snapshot?.parts.map(({ source: { type } }) => type)).toEqual(["lancedb", "sqlite"]);
    expect(snapshot?.parts[1]?.source.id).toBe("companion");
    expect(snapshot?.tables.map(({ id }) => id)).toEqual(["t"]);
    const repository = await Repository.open(vault, { logger });
    const target = join(directory, "restored.sqlite");
    await repository.restore("app", { targets: [{ part: "sqlite", target }] });
    const restored = new DatabaseSync(target, { readOnly: true });
    expect(restored.prepare("select count(*) as n from t").get()).toEqual({ n: 2 });
    restored.close();
  });
});

test("a filesystem source takes all that is below its paths, also what LanceDB would take for tables alone", async () => {
  const { directory, service } = await newPlace();
  writeFileSync(join(directory, "db/notes.txt"), "no table");
  writeFileSync(join(directory, "db/cache.tmp"), "left out");
  const backups = await service(`backup_manager: { storage: { type: local, path: vault } }
policies:
  files:
    sources: [{ type: filesystem, paths: [${directory}/db], exclude: ["*.tmp", "*.log"] }]
    schedule: { full: "0 0 * * *" }
`);
  const { snapshot, error } = await backups.run("files");
  expect(error).toBeUndefined();
  expect(snapshot?.parts.map(({ source: { type } }) => type)).toEqual(["files"]);
  const target = join(directory, "restored");
  const repository = await Repository.open(join(directory, "vault"));
  await repository.restore("files", { targets: [{ part: "files", target }] });
  const names = readdirSync(target);
  expect(names).toEqual(expect.arrayContaining(["notes.txt", "t.lance"]));
  expect(names).not.toContain("cache.tmp");
});

const noPostgres = whyNoPostgres();

describe.skipIf(noPostgres)(`PostgreSQL${noPostgres ? `: ${noPostgres}` : ""}`, () => {
  const server = usePostgres();

  test("is backed up by the address that a placeholder stands for, whose password is nowhere", async () => {
    const { directory, vault, logged, service } = await newPlace();
    const database = await server.create();
    await server.run(database, "create table public.t (id int); insert into public.t values (1)");
    const url = server.url(database);
    const backups = await service(
      `backup_manager: { storage: { type: local, path: vault }, compression: { algorithm: none } }
policies:
  database:
    sources:
      - type: postgresql
        connection: \${DB_URL}
        schemas: ["public"]
    schedule: { full: "0 0 * * 0", incremental: "0 */6 * * *" }
`,
      { DB_URL: url },
    );
    const report = await backups.run("database");
    expect(report.error).toBeUndefined();
    expect(report.snapshot?.parts[0]?.source.type).toBe("postgresql");
    const password = decodeURIComponent(new URL(url).password);
    expect(password.length).toBeGreaterThan(5);
    const documents = readdirSync(join(vault, "snapshots")).map((name) =>
      readFileSync(join(vault, "snapshots", name), "utf8"),
    );
    const told = JSON.stringify([report, await backups.status(), logged, documents]);
    expect(told).not.toContain(JSON.stringify(password).slice(1, -1));
    expect(told).not.toContain(new URL(url).password);
    expect(directory).toBeTruthy();
  });
});

describe("keys", () => {
  const yaml = (directory: string, encryption: string) => `backup_manager:
  storage: { type: local, path: vault }
  compression: { algorithm: zstd, level: 3 }
  encryption: { enabled: true, ${encryption} }
policies:
  app: { sources: [{ type: lancedb, path: ${directory}/db }], schedule: { full: 1d } }
`;

  test("a passphrase in a file: a new repository is encrypted by it, and a wrong one is not tried again", async () => {
    const { directory, vault, logger, logged, service } = await newPlace();
    const passwordFile = join(directory, "password");
    writeFileSync(passwordFile, `${PASSWORD}\n`);
    const text = yaml(directory, "provider: passphrase, password_file: password");
    const first = await (await service(text)).run("app");
    expect(first.error).toBeUndefined();
    await expect(Repository.open(vault, { logger })).rejects.toThrow();
    const repository = await Repository.open(vault, { logger, keys: [passphrase(PASSWORD)] });
    expect(await repository.list()).toMatchObject([{ name: "app" }]);
    const again = await service(text);
    expect((await again.run("app")).outcome).toBe("success");
    expect(await again.status()).toMatchObject([{ overdue: false, snapshots: 2 }]);
    writeFileSync(passwordFile, "wr0ng horse\n");
    const wrong = await service(text);
    const report = await wrong.run("app");
    expect(report).toMatchObject({ outcome: "failure", attempts: 1, error: { code: "VALIDATION" } });
    expect(await wrong.status()).toMatchObject([{ overdue: true }]);
    expect(JSON.stringify([logged, report, String(report.error)])).not.toMatch(/horse/);
  });

  test("a key in AWS KMS", async () => {
    const { directory, service } = await newPlace();
    const kms = await kmsServer();
    vi.stubEnv("AWS_ACCESS_KEY_ID", kms.credentials.accessKeyId);
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", kms.credentials.secretAccessKey);
    onTestFinished(() => void vi.unstubAllEnvs());
    kms.newKey("alias/backup-key");
    const text = yaml(
      directory,
      `provider: aws_kms, key_id: alias/backup-key, region: ${KMS_REGION}, endpoint: "${kms.endpoint}"`,
    );
    const backups = await service(text);
    const report = await backups.run("app");
    expect(report.error).toBeUndefined();
    expect(report.outcome).toBe("success");
  });

  test("an age identity", async () => {
    const { directory, service } = await newPlace();
    const { generateX25519Identity } = await import("age-encryption");
    writeFileSync(join(directory, "identity.txt"), `# mine\n${await generateX25519Identity()}\n`);
    const text = yaml(directory, "provider: age, identity_file: identity.txt");
    expect((await (await service(text)).run("app")).outcome).toBe("success");
    expect(await (await service(text)).status()).toMatchObject([{ snapshots: 1, overdue: false }]);
  });
});
