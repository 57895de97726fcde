// `node bench/s3.ts [--quick] [--parts times,requests,memory] [--runs 3]`: repositories in a bucket beside restic's, on one radosgw on this machine, all in turns. No page is made of it; docs/performance.md has the figures.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Repository, rawKey } from "lancedb-backup";
import { BucketPlace } from "./bucket/bucket-place.ts";
import { countingProxy } from "./bucket/counting-proxy.ts";
import { smallFiles } from "./bucket/small-files.ts";
import { FULL, QUICK } from "./data/sizes.ts";
import { amount, type Figure, ratio, time } from "./harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "./harness/measure.ts";
import { quiet } from "./harness/quiet.ts";
import { report } from "./harness/report.ts";
import { installed, peakMemory, run } from "./harness/tools.ts";

const COMMAND = join(import.meta.dirname, "../dist/cli/main.js");
const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    runs: { type: "string", default: "3" },
    parts: { type: "string", default: "times,requests,memory" },
  },
});
const sizes = values.quick ? QUICK : FULL;
const [fragments, rows, files] = values.quick ? [3, 2_000, 500] : [25, 20_000, 20_000];
const parts = new Set(values.parts.split(","));
const runs = values.quick ? 1 : Number(values.runs);

await using place = await BucketPlace.make(fragments, rows, files);
const secret = new Uint8Array(32).fill(7);
const FORMS = {
  plain: { compression: { algorithm: "none" } },
  "zstd 1, encrypted": {
    compression: { algorithm: "zstd", level: 1 },
    encryption: { keys: [rawKey(secret)] },
  },
  "default, encrypted": { encryption: { keys: [rawKey(secret)] } },
} as const;
type Form = keyof typeof FORMS;
const forms = Object.keys(FORMS) as Form[];
const keys = (form: Form) => ("encryption" in FORMS[form] ? { keys: [rawKey(secret)] } : {});

/** A repository or an archive in a bucket of its own. */
interface Vault {
  readonly name: string;
  init(endpoint?: string): Promise<void>;
  backup(source: string): Promise<unknown>;
  restore(target: string): Promise<unknown>;
}

function ours(form: Form): Vault {
  let address = "";
  const open = () => Repository.open(address, { logger: quiet, ...keys(form) });
  return {
    name: form,
    async init(endpoint) {
      address = place.address(await place.bucket(), endpoint);
      await Repository.init(address, { logger: quiet, ...FORMS[form] });
    },
    backup: async (source) =>
      (await open()).backup({ source: source === place.small ? smallFiles(source) : source }),
    restore: async (target) => (await open()).restore("latest", { target }),
  };
}

function restic(): Vault {
  let archive = "";
  return {
    name: "restic",
    async init(endpoint = place.endpoint) {
      archive = `s3:${endpoint}/${await place.bucket()}/v`;
      await run("restic", ["-r", archive, "init"]);
    },
    backup: (source) => run("restic", ["-r", archive, "backup", source]),
    restore: (target) => run("restic", ["-r", archive, "restore", "latest", "--target", target]),
  };
}

const vaults = [...forms.map(ours), ...(installed("restic") ? [restic()] : [])];
const LIMITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  "first snapshot": { plain: 0.5, "zstd 1, encrypted": 0.8, "default, encrypted": 0.8 },
  restore: { plain: 0.7, "zstd 1, encrypted": 0.7, "default, encrypted": 0.7 },
};

async function turns(what: string, of: (vault: Vault) => Omit<Contender, "name">): Promise<Figure[]> {
  const contenders = vaults.map((vault) => ({ name: vault.name, ...of(vault) }));
  const samples = await takeTurns(contenders, runs, { warmUps: values.quick ? 0 : 1 });
  const other = samples.find(({ name }) => name === "restic");
  return samples.flatMap((sample) => {
    const limit = LIMITS[what]?.[sample.name];
    const target = limit === undefined ? undefined : { kind: "most" as const, limit };
    const against = other && sample !== other;
    return [
      time(`${what}, ${sample.name}`, sample),
      ...(against ? [ratio(`${what}, ${sample.name} / restic`, sample, other as Sample, target)] : []),
    ];
  });
}

const figures: Figure[] = [];
const first = (source: string) => (vault: Vault) => ({
  before: () => vault.init(),
  run: () => vault.backup(source),
});
const back = (vault: Vault) => ({
  before: () => void place.clear("back"),
  run: () => vault.restore(place.clear("back")),
  after: () => void place.clear("back"),
});
if (parts.has("times")) {
  figures.push(...(await turns("first snapshot", first(place.uri))));
  figures.push(...(await turns("nothing changed", (vault) => ({ run: () => vault.backup(place.uri) }))));
  figures.push(...(await turns("restore", back)));
  figures.push(...(await turns(`${files} small files`, first(place.small))));
}

if (parts.has("requests")) {
  await using proxy = await countingProxy(place.endpoint);
  const counted = async (what: string, vault: Vault, work: () => Promise<unknown>, limit?: number) => {
    proxy.since();
    await work();
    const by = proxy.since();
    const total = Object.values(by).reduce((sum, count) => sum + count, 0);
    const target = limit === undefined ? undefined : { kind: "most" as const, limit };
    const madeOf = Object.entries(by)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(", ");
    console.log(`${what}, ${vault.name}: ${total} requests (${madeOf})`);
    figures.push({ ...amount(`requests: ${what}, ${vault.name}`, "requests", [total], target), madeOf });
  };
  for (const vault of vaults) {
    const isOurs = vault.name !== "restic";
    await vault.init(proxy.endpoint);
    await counted("first snapshot", vault, () => vault.backup(place.uri));
    await counted("nothing changed", vault, () => vault.backup(place.uri), isOurs ? 10 : undefined);
    await counted("restore", vault, () => vault.restore(place.clear("back")));
    await vault.init(proxy.endpoint);
    const most = isOurs ? files / 100 : undefined;
    await counted(`${files} small files`, vault, () => vault.backup(place.small), most);
  }
}

if (parts.has("memory") && process.platform === "linux") {
  for (const [name, options] of [
    ["plain", FORMS.plain],
    ["default", {}],
  ] as const) {
    const address = place.address(await place.bucket());
    await Repository.init(address, { logger: quiet, ...options });
    const peak = async (what: string, ...args: string[]) => {
      const whole = [COMMAND, "--quiet", ...args, "--repo", address];
      const highest = await peakMemory(process.execPath, whole);
      console.log(`memory: ${what}, ${name}: ${Math.round(highest)} MB`);
      const target = { kind: "most" as const, limit: 250 };
      figures.push(amount(`memory: ${what}, ${name}`, "MB", [highest], target));
    };
    await peak("first snapshot", "backup", place.uri);
    await peak("nothing changed", "backup", place.uri);
    await peak("verify", "verify");
    await peak("restore", "restore", "latest", place.clear("back"));
  }
}
report(figures, sizes);
