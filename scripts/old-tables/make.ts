// Makes test/old-tables/fixtures: `npm run old-tables`, or with versions only those. Each old package is installed into a
// directory of its own in the system's temporary one, and writes the tables of write-tables.mjs there. Ids of commits
// and files are random, so that each run gives other bytes.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const name = "@lancedb/lancedb";

/** By the fixture's name: the packages that write it, each at its version. */
const PACKAGES: Readonly<Record<string, { readonly writer: string; readonly install: readonly string[] }>> = {
  "vectordb-0.4.20": {
    writer: "vectordb",
    install: ["vectordb@0.4.20", "apache-arrow@14.0.2", "@apache-arrow/ts@14.0.2"],
  },
  "0.5.2": { writer: name, install: [`${name}@0.5.2`, "apache-arrow@15.0.2"] },
  "0.8.0": { writer: name, install: [`${name}@0.8.0`, "apache-arrow@15.0.2"] },
  "0.13.0": { writer: name, install: [`${name}@0.13.0`, "apache-arrow@17.0.0"] },
  "0.16.0": { writer: name, install: [`${name}@0.16.0`, "apache-arrow@18.1.0"] },
  "0.19.1": { writer: name, install: [`${name}@0.19.1`, "apache-arrow@18.1.0"] },
  "0.22.3": { writer: name, install: [`${name}@0.22.3`, "apache-arrow@18.1.0"] },
  "0.30.0": { writer: name, install: [`${name}@0.30.0`, "apache-arrow@18.1.0"] },
};

const fixtures = join(import.meta.dirname, "../../test/old-tables/fixtures");
const wanted = process.argv.slice(2);

for (const [version, { writer, install }] of Object.entries(PACKAGES)) {
  if (wanted.length > 0 && !wanted.includes(version)) continue;
  const home = mkdtempSync(join(tmpdir(), `lancedb-backup-${version}-`));
  try {
    writeFileSync(join(home, "package.json"), "{}");
    // Some of them want an Arrow that others refuse; --legacy-peer-deps takes what is named here.
    run(
      "npm",
      ["install", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", ...install],
      home,
    );
    const database = join(home, "database");
    run(process.execPath, [join(import.meta.dirname, "write-tables.mjs"), home, writer, database], home);
    mkdirSync(fixtures, { recursive: true });
    const archive = join(fixtures, `${version}.tar.gz`);
    run("tar", ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", archive, "."], database);
    console.log(`${version}: ${statSync(archive).size} bytes`);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function run(command: string, argv: readonly string[], cwd: string): void {
  const env = { ...process.env, LANCEDB_LOG: "error", RUST_LOG: "error" };
  const { status } = spawnSync(command, argv, { cwd, env, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`${command} ended with ${status}.`);
}
