import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { ageRecipients } from "../../src/engine/keys/age-key.ts";
import { passphrase } from "../../src/engine/keys/passphrase.ts";
import { recoveryKey } from "../../src/engine/keys/recovery-key.ts";
import { type InitOptions, Repository } from "../../src/repository/index.ts";
import { silent } from "../crash/silent.ts";
import { flipBit } from "../repository/broken.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { missingPrograms } from "../support/programs.ts";

// The shell script in docs/formats.md, as it stands there.

const missing = missingPrograms(["age", "basenc", "jq", "openssl", "zstd"]);
if (missing.length > 0) {
  test.skip(`the script in docs/formats.md (missing here: ${missing.join(", ")}, Debian's packages)`, () =>
    undefined);
}

async function newPlace() {
  const directory = await newDirectory();
  const [uri, location, script] = ["db", "repository", "get.sh"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const docs = readFileSync(join(import.meta.dirname, "../../docs/formats.md"), "utf8");
  const [, section = ""] = docs.split("\n### With standard programs alone\n");
  writeFileSync(script, /^```bash\n(.*?)^```$/ms.exec(section)?.[1] ?? "");
  const db = await connect(uri);
  await db.createTable(
    "words",
    Array.from({ length: 500 }, (_, id) => ({ id, text: `the word number ${id}` })),
  );
  const vector = (id: number) => Array.from({ length: 768 }, (_, index) => Math.sin(id * 768 + index));
  await db.createTable(
    "large",
    Array.from({ length: 2000 }, (_, id) => ({ id, vector: vector(id) })),
  );
  db.close();
  const run = (args: readonly string[], secrets: Readonly<Record<string, string>> = {}) =>
    spawnSync("bash", [script, location, ...args], {
      env: { ...process.env, ...secrets },
      maxBuffer: 1 << 26,
    });
  return { directory, uri, location, run };
}

type Place = Awaited<ReturnType<typeof newPlace>>;

const init = ({ location }: Place, options: InitOptions) =>
  Repository.init(location, { logger: silent, ...options });

/** Lists a snapshot, and gets its files: the table of several segments, and those that share a blob. */
function expectAll({ uri, run }: Place, id: string, secrets: Readonly<Record<string, string>> = {}): void {
  const listed = run([id], secrets);
  expect(listed.stderr.toString()).toBe("");
  const paths = listed.stdout.toString().trim().split("\n");
  expect(paths.toSorted()).toEqual(
    filesBelow(uri)
      .filter((path) => /^(words|large)\.lance\/(data|_versions)\/[^l]/.test(path))
      .sort(),
  );
  for (const path of paths) {
    const { status, stdout, stderr } = run([id, path], secrets);
    expect(stderr.toString()).toBe("");
    expect(status).toBe(0);
    expect(stdout.equals(readFileSync(join(uri, path))), path).toBe(true);
  }
}

describe.skipIf(missing.length > 0)("by the shell script in docs/formats.md files are got back", () => {
  test("from a plain repository, and from a compressed one", async () => {
    for (const compression of [
      { algorithm: "none" },
      { algorithm: "zstd", level: 3 },
      { algorithm: "gzip" },
    ] as const) {
      const place = await newPlace();
      const { id } = await (await init(place, { compression })).backup({ source: place.uri });
      expectAll(place, id);
    }
  });

  test("from an encrypted and compressed one: by an age identity, a passphrase, a recovery key; also after a rotation", async () => {
    const place = await newPlace();
    const { directory, uri, location, run } = place;
    const [IDENTITY, PASSPHRASE, RECOVERY_KEY] = ["identity", "passphrase", "recovery"].map((name) =>
      join(directory, name),
    ) as [string, string, string];
    execFileSync("age-keygen", ["-o", IDENTITY], { stdio: "ignore" });
    const recipient = execFileSync("age-keygen", ["-y", IDENTITY], { encoding: "utf8" }).trim();
    writeFileSync(PASSPHRASE, "correct horse, Schlüssel\n");
    const printed = recoveryKey();
    writeFileSync(RECOVERY_KEY, `${printed.print().toLowerCase()}\n`);
    const keys = [ageRecipients(recipient), passphrase("correct horse, Schlüssel"), printed];
    const repository = await init(place, { compression: { algorithm: "zstd" }, encryption: { keys } });
    const first = await repository.backup({ source: uri });
    expectAll(place, first.id, { IDENTITY });
    await repository.keys.rotate();
    const db = await connect(uri);
    await (await db.openTable("words")).add([{ id: 500, text: "a new one" }]);
    db.close();
    const second = await repository.backup({ source: uri });
    expectAll(place, second.id, { IDENTITY });
    for (const secrets of [{ PASSPHRASE }, { RECOVERY_KEY }]) {
      expect(run([first.id], secrets).stdout.toString()).toBe(
        run([first.id], { IDENTITY }).stdout.toString(),
      );
    }
    expect(run([first.id]).stderr.toString()).toBe(
      `get.sh: no slot in ${location}/keys is opened by what was given\n`,
    );

    const [large = ""] =
      run([first.id], { IDENTITY })
        .stdout.toString()
        .match(/^large.*data.*$/m) ?? [];
    for (const name of filesBelow(join(location, "blobs"))) flipBit(join(location, "blobs", name), 100_000);
    const damaged = run([first.id, large], { IDENTITY });
    expect(damaged.status).not.toBe(0);
    expect(damaged.stdout).toHaveLength(0);
    flipBit(join(location, "snapshots", `${first.id}.json`), 300);
    expect(run([first.id], { IDENTITY }).status).not.toBe(0);
  });
});
