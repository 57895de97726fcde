// Makes test/repository/formats/fixtures: `npm run format-fixtures`. A repository of each kind as this version writes it,
// with what its snapshots hold, so that later versions can be held to reading it. Existing ones are left alone: what a
// release has written does not change.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Catalog } from "../src/engine/catalog/catalog.ts";
import { KeyRing } from "../src/engine/keys/key-ring.ts";
import { passphrase } from "../src/engine/keys/passphrase.ts";
import { rawKey } from "../src/engine/keys/raw-key.ts";
import { blobStoreOf } from "../src/engine/keys/ring-encryption.ts";
import { readMarker } from "../src/engine/marker.ts";
import { Repository } from "../src/repository/repository.ts";
import { LocalStorage } from "../src/storage/local-storage.ts";
import { silent } from "../test/crash/silent.ts";
import { remote } from "../test/repository/verify-run.ts";
import { PlainSource } from "../test/support/plain-source.ts";
import { makeSampleTable, sampleRows } from "../test/support/sample.ts";

const FIXTURES = join(import.meta.dirname, "../test/repository/formats/fixtures");

/** What opens the encrypted one, which has two epochs. Kept with it. */
const [KEY, PASSPHRASE] = [Buffer.alloc(32, "raw key"), "correct horse battery"];

const KINDS = {
  "2-plain": { through: (storage: LocalStorage) => storage, options: {} },
  "2-pieces": { through: remote, options: { compression: { algorithm: "none" } } },
  "2-zstd": { through: remote, options: { compression: { algorithm: "zstd" } } },
  "2-encrypted": {
    through: remote,
    options: { encryption: { keys: [rawKey(KEY), passphrase(PASSPHRASE)] } },
  },
} as const;

/** Documents as whoever has the key reads them. */
async function catalogOf(storage: LocalStorage): Promise<Catalog> {
  const marker = await readMarker(storage);
  if (!marker?.encryption) return new Catalog({ storage, logger: silent });
  const encryption = { first: marker.encryption, repository: marker.id };
  const ring = await KeyRing.open({ storage, logger: silent }, encryption, [rawKey(KEY)]);
  return new Catalog({ storage, logger: silent, documents: blobStoreOf(storage, marker, ring).documents });
}

for (const [kind, { through, options }] of Object.entries(KINDS)) {
  const archive = join(FIXTURES, `${kind}.tar.gz`);
  if (existsSync(archive)) continue;
  const work = mkdtempSync(join(tmpdir(), "lancedb-backup-fixture-"));
  try {
    const [uri, files, place] = [join(work, "db"), join(work, "files"), join(work, "out")];
    mkdirSync(files);
    const local = new LocalStorage(join(place, "repository"));
    const repository = await Repository.init(through(local), { ...options, logger: silent });
    const expected: Record<string, unknown> = {};
    const db = await connect(uri);
    const table = await makeSampleTable(db, "words", { rows: 20 });
    await makeSampleTable(db, "other", { rows: 3 });
    writeFileSync(join(files, "note.txt"), "A note.\n");
    chmodSync(join(files, "note.txt"), 0o600);
    writeFileSync(join(files, "large"), Buffer.alloc((16 << 20) + 1000, "large")); // more than a blob has
    const take = async (name: string, sources: (string | PlainSource)[]) => {
      const { id, tables } = await repository.backup({ sources, name, tags: ["kept"] });
      const { parts } = await (await catalogOf(local)).content(id);
      expected[name] = {
        id,
        rows: Object.fromEntries(tables.map((one) => [one.id, one.rows])),
        parts: parts.map(({ source, entries }) => ({
          ...{ type: source.type, id: source.id },
          files: Object.fromEntries(entries.map(({ path, sha256 }) => [path, sha256])),
        })),
      };
    };
    await take("first", [uri]);
    if (kind === "2-encrypted") await repository.keys.rotate();
    await table.add(sampleRows(100, 5));
    await take("second", [uri, new PlainSource(files)]);
    db.close();
    writeFileSync(join(place, "expected.json"), `${JSON.stringify(expected, null, 1)}\n`);
    mkdirSync(FIXTURES, { recursive: true });
    execFileSync("tar", ["-czf", archive, "--sort=name", "--owner=0", "--group=0", "-C", place, "."]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
