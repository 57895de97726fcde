import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";
import { run, runJson, runOnTerminal } from "./cli.ts";

const SECRET = "correct horse battery";

interface Slot {
  readonly id: string;
  readonly kind: string;
  readonly epoch: number;
}

async function newPlace() {
  const directory = await newDirectory();
  const [database, repo] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(database);
  await makeSampleTable(db, "words", { rows: 20 });
  db.close();
  const fileOf = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const password = fileOf("password", `${SECRET}\n`);
  return { directory, database, repo, password, fileOf, env: { LANCEDB_BACKUP_REPO: repo } };
}

const marker = (repo: string) => JSON.parse(readFileSync(join(repo, "repository.json"), "utf8")).body;

test("a repository encrypted for a passphrase is opened by a file, a command and the environment, and not without", async () => {
  const { directory, database, repo, password, env, fileOf } = await newPlace();
  await runJson(["init", repo, "--encrypt", "--password-file", password]);
  expect(marker(repo)).toMatchObject({ codec: "segments", compression: { algorithm: "zstd", level: 3 } });
  expect(marker(repo)).toHaveProperty("encryption.check");
  const withFile = ["--password-file", password];
  const { id } = await runJson<{ id: string }>(["backup", database, ...withFile], { env });
  const [slot] = await runJson<Slot[]>(["key", "list", ...withFile], { env });
  expect(slot).toMatchObject({ kind: "passphrase", epoch: 1 });
  const { code, stderr } = await run(["list"], { env });
  expect(code).toBe(2);
  expect(stderr).toContain(`${slot?.id} (passphrase)`);
  const ways = [
    { args: withFile, env },
    { args: ["--password-command", `cat '${password}'`], env },
    { args: [], env: { ...env, LANCEDB_BACKUP_PASSWORD: SECRET } },
  ];
  for (const way of ways) {
    const listed = await runJson<{ id: string }[]>(["list", ...way.args], { env: way.env });
    expect(JSON.stringify(listed)).toContain(id);
  }
  const wrong = await run(["list", "--verbose", "--password-file", fileOf("wrong", "wrong secret")], { env });
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("opens no slot");
  expect(wrong.stdout + wrong.stderr).not.toContain("wrong secret");
  const restored = await run(["restore", "latest", join(directory, "restored"), "--verbose", ...withFile], {
    env,
  });
  expect(restored.code).toBe(0);
  expect(restored.stdout + restored.stderr).not.toContain(SECRET);
});

test("keys are added, rotated and removed", async () => {
  const { database, repo, password, env, fileOf } = await newPlace();
  await runJson(["init", repo, "--password-file", password]);
  const [first, second] = [
    ["--password-file", password],
    ["--password-file", fileOf("second", "second secret")],
  ];
  await runJson(["backup", database, ...first], { env });
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const byAge = ["--age-identity", fileOf("identity", `# mine\n${identity}\n`)];
  const age = await runJson<Slot>(["key", "add", "--age-recipient", recipient, ...first], { env });
  const added = await runJson<Slot>(["key", "add", "--new-password-file", second[1] ?? "", ...byAge], {
    env,
  });
  expect([age.kind, added.kind]).toEqual(["age", "passphrase"]);
  const refused = await run(["key", "rotate", ...first], { env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(added.id);
  const asked = await run(["key", "rotate", "--rewrite", ...first, ...second], { env });
  expect(asked.code).toBe(2);
  expect(asked.stderr).toContain("--yes");
  const dry = await runJson<object>(["key", "rotate", "--rewrite", "--dry-run", ...first, ...second], {
    env,
  });
  expect(dry).toMatchObject({ dryRun: true, epoch: 2, rewritten: { snapshots: 1 } });
  const done = await runJson<object>(["key", "rotate", "--rewrite", "--yes", ...first, ...second], { env });
  expect(done).toMatchObject({ dryRun: false, epoch: 2, olderEpochs: [], rewritten: { snapshots: 1 } });
  const slots = await runJson<Slot[]>(["key", "list", ...byAge], { env });
  expect(slots.map(({ kind, epoch }) => `${kind} ${epoch}`).sort()).toEqual([
    "age 2",
    "passphrase 2",
    "passphrase 2",
  ]);
  for (const { id, kind } of slots) {
    if (kind === "passphrase") await runJson(["key", "remove", id, ...byAge], { env });
  }
  expect((await run(["verify", ...byAge], { env })).code).toBe(0);
  expect((await run(["list", ...first], { env })).code).toBe(2);
  const last = slots.find(({ kind }) => kind === "age");
  const { code, stderr } = await run(["key", "remove", last?.id ?? "", ...byAge], { env });
  expect(code).toBe(2);
  expect(stderr).toContain("is the last key slot");
});

test("at a terminal a new passphrase is asked for twice, and never shown", async () => {
  const { repo, env } = await newPlace();
  const type = [
    ["New passphrase: ", `${SECRET}\r`],
    ["Once more: ", `${SECRET}\r`],
  ] as const;
  const made = await runOnTerminal(["init", repo, "--encrypt"], { type, echo: true });
  expect(made.code).toBe(0);
  expect(made.stdout).not.toContain("horse");
  const opened = await runOnTerminal(["list"], {
    env,
    type: [["Passphrase of the repository: ", `${SECRET}\r`]],
    echo: true,
  });
  expect(opened.code).toBe(0);
  expect(opened.stdout).not.toContain("horse");
});

test("a command for the passphrase that fails, hangs or prints more than one line is no passphrase", async () => {
  const { directory, repo, env, fileOf } = await newPlace();
  const refused = [
    ["--password-command", "exit 3", "ended with the exit code 3"],
    ["--password-command", "kill -9 $$", "ended by the signal SIGKILL"],
    ["--password-command", "printf ''", "printed nothing"],
    ["--password-command", "printf 'one secret\\nuser: me\\n'", "printed more than one line"],
    ["--password-command", "head -c 2000000 /dev/zero", "printed too much"],
    ["--password-file", fileOf("two", "one secret\nnotes\n"), "more than one line"],
  ] as const;
  for (const [option, value, why] of refused) {
    const { code, stdout, stderr } = await run(["init", repo, "--encrypt", option, value, "--verbose"]);
    expect([code, stderr], value).toEqual([2, expect.stringContaining(why)]);
    expect(stdout + stderr.replaceAll(value, "")).not.toContain("one secret");
  }
  expect(existsSync(repo)).toBe(false);
  await runJson(["init", repo, "--password-file", fileOf("one", "one secret")]);
  // Its child keeps the pipe open, and is not ended with it.
  const pid = join(directory, "pid");
  const hanging = `sleep 600 2>/dev/null & echo $! > '${pid}'; echo ready >&2; wait`;
  let isEnded = false;
  const onOutput = (written: string, kill: (signal: NodeJS.Signals) => void) => {
    if (!isEnded && written.includes("ready")) kill("SIGTERM");
    isEnded ||= written.includes("ready"); // a second one would end it at once
  };
  const { code } = await run(["list", "--password-command", hanging], { env, onOutput });
  process.kill(Number(readFileSync(pid, "utf8")));
  expect(code).toBe(130);
});

test("two passphrases that differ make nothing", async () => {
  const { repo } = await newPlace();
  const type = [
    ["New passphrase: ", "one\r"],
    ["Once more: ", "other\r"],
  ] as const;
  const made = await runOnTerminal(["init", repo, "--encrypt"], { type });
  expect(made.code).toBe(2);
  expect(made.stdout).toContain("The two entries differ");
});

test("a repository elsewhere is encrypted, or somebody has said that it is not to be", async () => {
  const { code, stderr } = await run(["init", "s3://bucket/vault?region=eu-central-1"]);
  expect(code).toBe(2);
  expect(stderr).toContain("--no-encrypt");
  const { repo } = await newPlace();
  expect((await run(["init", repo, "--encrypt"])).code).toBe(2);
  await runJson(["init", repo, "--no-encrypt"]);
  expect(marker(repo)).toMatchObject({ codec: "plain" });
});

test("snapshots go from a plain repository to an encrypted one and back, and the doctor looks at it", async () => {
  const { directory, database, repo, password } = await newPlace();
  const [plain, back] = [join(directory, "plain"), join(directory, "back")];
  const key = ["--password-file", password];
  for (const place of [plain, back]) await runJson(["init", place]);
  await runJson(["init", repo, ...key]);
  const { id } = await runJson<{ id: string }>(["backup", database, "--repo", plain]);
  await runJson(["copy", repo, "--repo", plain, ...key]);
  await runJson(["copy", back, "--repo", repo, ...key]);
  for (const place of [plain, repo, back]) {
    expect((await run(["verify", id, "--repo", place, ...key])).code).toBe(0);
  }
  const doctor = await run(["doctor", database, "--repo", repo, ...key]);
  expect(doctor.stdout).not.toContain("is encrypted: give a key");
  const without = await run(["doctor", database, "--repo", repo]);
  expect(without.stdout).toContain("is encrypted: give a key");
});
