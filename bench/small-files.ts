// `node bench/small-files.ts [--files 100000]`: a tree of small files, first and unchanged, by this package and by restic on the same disk: seconds, and seconds of
// a processor. No page is made of it.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { files: { type: "string", default: "100000" } } });
const REPOSITORY = join(import.meta.dirname, "../dist/repository/index.js");

const place = mkdtempSync(join(tmpdir(), "lancedb-backup-bench-files-"));
try {
  makeTree(join(place, "tree"), Number(values.files));
  const script = `import { Repository } from ${JSON.stringify(REPOSITORY)};
const repository = await Repository[process.argv[1]](process.argv[2]);
await repository.backup({ source: process.argv[3] });`;
  const ours = (how: string) => [
    process.execPath,
    "--input-type=module",
    "-e",
    script,
    how,
    join(place, "ours"),
    join(place, "tree"),
  ];
  measure("lancedb-backup, first", ours("init"));
  measure("lancedb-backup, unchanged", ours("open"));
  const restic = ["restic", "--no-cache", "-q", "-r", join(place, "restic")];
  run([...restic, "init"]);
  measure("restic, first", [...restic, "backup", join(place, "tree")]);
  measure("restic, unchanged", [...restic, "backup", join(place, "tree")]);
} finally {
  rmSync(place, { recursive: true, force: true });
}

/** Of 240 bytes to 36 kB, that do not shrink much; the same at each run. */
function makeTree(root: string, files: number): void {
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  for (let index = 0; index < files; index++) {
    const directory = join(root, `d${Math.floor(index / 1000)}/e${Math.floor(index / 100) % 10}`);
    if (index % 100 === 0) mkdirSync(directory, { recursive: true });
    const content = Buffer.allocUnsafe(Math.floor(Math.exp(random() * 5 + 5.5)));
    for (let at = 0; at < content.length; at++) content[at] = Math.floor(random() * 256);
    writeFileSync(join(directory, `f${index}`), content);
  }
}

function measure(what: string, command: readonly string[]): void {
  const started = performance.now();
  const cpu = run(["time", "-f", "%U %S %M", ...command]);
  const [user = 0, system = 0, kilobytes = 0] = cpu.split(" ").map(Number);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${what}: ${seconds.toFixed(1)} s, ${(user + system).toFixed(1)} s of a processor, ${Math.round(kilobytes / 1024)} MB`,
  );
}

/** The last line of what it says on stderr. */
function run([program = "", ...args]: readonly string[]): string {
  const { status, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, RESTIC_PASSWORD: "bench" },
    maxBuffer: 1 << 26,
  });
  if (error ?? status !== 0) throw error ?? new Error(`${program} ended with ${status}: ${stderr}`);
  return stderr.trim().split("\n").at(-1) ?? "";
}
