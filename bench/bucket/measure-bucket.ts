import { join } from "node:path";
import { Repository, rawKey } from "lancedb-backup";
import type { Sizes } from "../data/sizes.ts";
import { amount, type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { quiet } from "../harness/quiet.ts";
import { installed, peakMemory, run } from "../harness/tools.ts";
import { BucketPlace } from "./bucket-place.ts";
import { countingProxy } from "./counting-proxy.ts";

const COMMAND = join(import.meta.dirname, "../../dist/cli/main.js");

export const BUCKET_PARTS = ["times", "requests", "memory"] as const;
export type BucketPart = (typeof BUCKET_PARTS)[number];

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

/** An encrypted one has its keys looked at, too: ten requests, and a page of listing. */
const mostUnchanged = (form: string) => (form === "plain" ? 10 : 11);

/** A repository or an archive in a bucket of its own. */
interface Vault {
  readonly name: string;
  init(endpoint?: string): Promise<void>;
  backup(source: string): Promise<unknown>;
  restore(target: string): Promise<unknown>;
}

function ours(place: BucketPlace, form: Form): Vault {
  let address = "";
  const open = () => Repository.open(address, { logger: quiet, ...keys(form) });
  return {
    name: form,
    async init(endpoint) {
      address = place.address(await place.bucket(), endpoint);
      await Repository.init(address, { logger: quiet, ...FORMS[form] });
    },
    backup: async (source) =>
      (await open()).backup({ source: source === place.small ? `file://${source}` : source }),
    restore: async (target) => (await open()).restore("latest", { target }),
  };
}

function restic(place: BucketPlace): Vault {
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

const LIMITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  "first snapshot": { plain: 0.5, "zstd 1, encrypted": 0.8, "default, encrypted": 0.8 },
  restore: { plain: 0.7, "zstd 1, encrypted": 0.7, "default, encrypted": 0.7 },
};

/** Repositories in a bucket beside restic's, on one radosgw on this machine; nothing where that is not installed. */
export async function measureBucket(
  sizes: Sizes,
  parts: readonly BucketPart[] = BUCKET_PARTS,
  runs = sizes.runs.long,
): Promise<Figure[]> {
  if (!installed("radosgw")) return [];
  const isQuick = sizes.name === "quick";
  const [fragments, rows, files] = isQuick ? [3, 2_000, 500] : [25, 20_000, 20_000];
  await using place = await BucketPlace.make(fragments, rows, files);
  const vaults = [...forms.map((form) => ours(place, form)), ...(installed("restic") ? [restic(place)] : [])];
  const bench: Bench = { place, vaults, files, runs, warmUps: isQuick ? 0 : 1 };
  const figures: Figure[] = [];
  if (parts.includes("times")) figures.push(...(await measureTimes(bench)));
  if (parts.includes("requests")) figures.push(...(await measureRequests(bench)));
  if (parts.includes("memory") && process.platform === "linux") figures.push(...(await measureMemory(bench)));
  return figures;
}

interface Bench {
  readonly place: BucketPlace;
  readonly vaults: readonly Vault[];
  /** How many small ones. */
  readonly files: number;
  readonly runs: number;
  readonly warmUps: number;
}

async function measureTimes(bench: Bench): Promise<Figure[]> {
  const { place, files } = bench;
  const first = (source: string) => (vault: Vault) => ({
    before: () => vault.init(),
    run: () => vault.backup(source),
  });
  const back = (vault: Vault) => ({
    before: () => void place.clear("back"),
    run: () => vault.restore(place.path("back")),
    after: () => void place.clear("back"),
  });
  return [
    ...(await turns(bench, "first snapshot", first(place.uri))),
    ...(await turns(bench, "nothing changed", (vault) => ({ run: () => vault.backup(place.uri) }))),
    ...(await turns(bench, "restore", back)),
    ...(await turns(bench, `${files} small files`, first(place.small))),
    ...(await turns(bench, `restore of ${files} small files`, back)),
  ];
}

async function turns(
  { vaults, runs, warmUps }: Bench,
  what: string,
  of: (vault: Vault) => Omit<Contender, "name">,
): Promise<Figure[]> {
  const contenders = vaults.map((vault) => ({ name: vault.name, ...of(vault) }));
  const samples = await takeTurns(contenders, runs, { warmUps });
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

async function measureRequests({ place, vaults, files }: Bench): Promise<Figure[]> {
  await using proxy = await countingProxy(place.endpoint);
  const figures: Figure[] = [];
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
    await counted(
      "nothing changed",
      vault,
      () => vault.backup(place.uri),
      isOurs ? mostUnchanged(vault.name) : undefined,
    );
    await counted("restore", vault, () => vault.restore(place.clear("back")));
    await vault.init(proxy.endpoint);
    const most = isOurs ? files / 100 : undefined;
    await counted(`${files} small files`, vault, () => vault.backup(place.small), most);
  }
  return figures;
}

async function measureMemory({ place }: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
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
  return figures;
}
