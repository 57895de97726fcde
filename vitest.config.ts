import { globSync } from "node:fs";
import { join } from "node:path";
import { configDefaults, defineConfig } from "vitest/config";
import { wantsOwnProcess } from "./test/support/own-process.ts";

// The nightly run repeats the random tests long enough to find what a quick run does not.
const nightly = process.env["NIGHTLY"] === "1";

/** Left out where a person runs `npm test`, and each in a process of its own: they kill, start programs, or run for long. */
const THOROUGH = named([
  // Killed, or failing, at every step; every guarantee with every kind of work.
  "{crash,concurrency,situations}/**",
  "**/{kill,killed,broken,interrupted,faults-at-every-call,through-storage,lying-storage,guarantee,stale-handles}",
  "guard/{namespaces,handles-behind-a-jump}",
  "cli/{broken-input,checks,interrupt,keys,labels-and-ages,output,policy,report}",
  // Several programs beside each other, and what runs for a time.
  "**/{hot-writer,beside-a-cleanup,beside-backups,backup-beside-writers,scrub-beside-writer,companion}",
  "**/{processes,two-processes,local-storage-processes,properties,replay-property,rolling,insert-stream}",
  // Other programs, servers and old versions: installed, started, and asked for everything.
  "{runtimes,frameworks}/**",
  "s3/s3-{faults,leases,lock,permissions,refused,repository,retries}",
  "sources/{mysql/mysql-source,postgresql/dump-and-restore,postgresql/postgres-faults}",
  "{page/in-chromium,old-tables/old-tables,dumps/server-dumps}",
  "engine/{independent-reader,standard-programs}",
  "package/{readme,runbook}",
]);

/** Left out as well, since they try much: of each room quicker ones stay. */
const LONG = named([
  "{arrow/predicates,periodic/file/damage,old-tables/put-back,storage/layers/retrying-storage}",
  "conformance/{s3,layered,webdav,sftp,ftp}-storage",
  "conformance/racing-storages",
  "cli/{completion,diff,doctor,guard,restore,snapshots}",
  "engine/{pieces,codec/encoded-blob,keys/aws-kms-key,keys/rotation}",
  "guard/{kinds-of-table,several-writes-at-once,single-writer}",
  "policy/{backup-service,check-policy,mail,service-state,sources-and-keys}",
  "policy/metrics/{prometheus-examples,publish-metrics,service-metrics}",
  "repository/{parts-together,scrub,scrub-no-damage,verify-broken,copy/copy,lease/lease,lease/interleavings}",
  "repository/restore/{in-place,open,places,restore-test}",
  "s3/s3-{requests,settings}",
  "sources/{command/command,mysql/dump-and-restore,postgresql/postgres-source}",
  "sources/sqlite/sqlite-{capture,repository}",
]);

function named(globs: readonly string[]): string[] {
  return globs.map((glob) => `test/${glob.endsWith("/**") ? `${glob}/*` : glob}.test.ts`);
}

const all = nightly || Boolean(process.env["CI"]);

const root = import.meta.dirname;
/** Those whose process no other test may share. */
const alone = globSync("test/**/*.test.ts", { cwd: root }).filter((path) =>
  wantsOwnProcess(join(root, path)),
);
const excluded = [...configDefaults.exclude, ...(all ? [] : [...THOROUGH, ...LONG])];

export default defineConfig({
  test: {
    // LanceDB is a native module with threads, and some tests kill processes.
    pool: "forks",
    // Loading all there is takes a process a second, more than most files' tests: those that can share one.
    projects: [
      {
        extends: true,
        test: {
          name: "shared",
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: [...excluded, ...THOROUGH, ...alone],
        },
      },
      { extends: true, test: { name: "alone", include: [...THOROUGH, ...alone], exclude: excluded } },
    ],
    // Much of their time is waiting for the disk and for programs: two more use what two leave idle.
    maxWorkers: all ? 4 : 2,
    // For the thousands of programs that are started to be killed: half of their time is compiling.
    env: {
      NODE_COMPILE_CACHE: join(root, "node_modules/.cache/node-compile"),
      // Nothing is left in the directories of whoever runs the tests.
      LANCEDB_BACKUP_CACHE: "off",
      LANCEDB_BACKUP_STATE: "off",
    },
    // Tests make real databases on a real disk; a slow one is no failure.
    testTimeout: nightly ? 3_600_000 : 300_000,
    hookTimeout: nightly ? 3_600_000 : 300_000,
    expect: { poll: { timeout: 120_000 } },
    reporters: ["default", "./scripts/count-reporter.ts"],
  },
});
