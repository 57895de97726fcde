import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installed, newApplication, run } from "./application.ts";

/** The newest that still has `node10`, which the project's own no longer knows. */
const TYPESCRIPT = "5.9.3";

// That a wrong type is refused shows that the types were found.
const PROGRAM = `
import { BackupManager } from "lancedb-backup";
import { Repository } from "lancedb-backup/repository";

const manager: BackupManager = new BackupManager({ uri: "db" });
console.log(typeof manager.withBackup, typeof Repository.init);
// @ts-expect-error
export type Wrong = BackupManager["nothing of this name"];
`;

let application: string;
beforeAll(() => {
  application = newApplication();
  writeFileSync(join(application, "package.json"), "{}");
  writeFileSync(join(application, "program.ts"), PROGRAM);
});
afterAll(() => rmSync(application, { recursive: true, force: true }));

test.each([
  { module: "nodenext", resolution: "nodenext" },
  { module: "commonjs", resolution: "node10" },
])(
  "a CommonJS program in TypeScript, moduleResolution $resolution, finds the types and runs",
  async ({ module, resolution }) => {
    const typescript = installed("typescript", TYPESCRIPT);
    if (typescript === undefined) return;
    const how = ["--strict", "--skipLibCheck", "--target", "es2022", "--types", "node"];
    const as = ["--module", module, "--moduleResolution", resolution];
    const compiler = join(typescript, "bin/tsc");
    const compiled = run(process.execPath, [compiler, ...how, ...as, "program.ts"], { cwd: application });
    expect(compiled).toMatchObject({ stdout: "", status: 0 });
    const ran = run(process.execPath, ["program.js"], { cwd: application });
    expect(ran.stdout, ran.stderr).toBe("function function\n");
  },
);
