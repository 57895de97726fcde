import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installed, newApplication, run } from "./application.ts";

// That a wrong type is refused shows that the types were found.
const PROGRAM = `
import { BackupManager } from "lancedb-backup";
import { awsKms } from "lancedb-backup/kms";
import { servePage } from "lancedb-backup/page";
import { Repository } from "lancedb-backup/repository";
import { S3Storage } from "lancedb-backup/s3";
import { testStorage } from "lancedb-backup/storage-conformance";

const manager: BackupManager = new BackupManager({ uri: "db" });
console.log(typeof manager.withBackup, typeof Repository.init);
export const others = () => [awsKms, servePage, S3Storage, testStorage];
// @ts-expect-error
export type Wrong = BackupManager["nothing of this name"];
`;

let application: string;
beforeAll(() => {
  application = newApplication();
  writeFileSync(join(application, "package.json"), "{}");
  for (const name of ["program.ts", "module.mts", "old.ts"]) writeFileSync(join(application, name), PROGRAM);
});
afterAll(() => rmSync(application, { recursive: true, force: true }));

// The oldest that the README promises, and the newest that still has `node10`, which the project's own no longer knows.
// Each takes seconds to look through LanceDB's types: all ways are tried at night.
const QUICK = [
  { version: "5.4.5", program: "module.mts", module: "esnext", moduleResolution: "bundler" },
  { version: "5.4.5", program: "old.ts", module: "commonjs", moduleResolution: "node10" },
  { version: "5.9.3", program: "program.ts", module: "nodenext", moduleResolution: "nodenext" },
];
const NIGHTLY = [
  { version: "5.4.5", program: "module.mts", module: "node16", moduleResolution: "node16" },
  { version: "5.9.3", program: "module.mts", module: "esnext", moduleResolution: "bundler" },
  { version: "5.9.3", program: "old.ts", module: "commonjs", moduleResolution: "node10" },
];
const WAYS = process.env["NIGHTLY"] === "1" ? [...QUICK, ...NIGHTLY] : QUICK;

test.each(["5.4.5", "5.9.3"])(
  "TypeScript %s finds the types, in whichever way it resolves modules, and nothing wrong in them",
  (version) => {
    const programs = WAYS.filter((way) => way.version === version);
    const typescript = installed("typescript", version);
    if (typescript === undefined) return;
    const check = join(import.meta.dirname, "check-types.mjs");
    const compiled = run(process.execPath, [check, typescript, JSON.stringify(programs)], {
      cwd: application,
    });
    expect(compiled).toMatchObject({ stdout: "", stderr: "", status: 0 });
    for (const { program } of programs) {
      const ran = run(process.execPath, [program.replace(/ts$/, "js")], { cwd: application });
      expect(ran.stdout, ran.stderr).toBe("function function\n");
    }
  },
);
