import type { ReportData } from "../src/cli/report/report-data.ts";
import type { SnapshotDetails, SnapshotTableDetails } from "../src/repository/index.ts";
import { planViewed as planRetention } from "../test/repository/lance-parts.ts";

const HOUR_MS = 3_600_000;
const NIGHTS = 46;

/** What the report would be of some weeks of nightly backups of two databases: for a screenshot, and to test with many. */
export function sampleReport(): ReportData {
  const madeAt = new Date(2026, 10, 21, 9, 30);
  const snapshots = Array.from({ length: NIGHTS }, (_, night) => [
    snapshotOf("/srv/app/data/lancedb-table", night, madeAt, 1),
    ...(night % 3 === 0 ? [snapshotOf("/srv/search/index", night, madeAt, 0.35)] : []),
  ])
    .flat()
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
  const { keep, remove } = planRetention(snapshots, { keepDaily: 7, keepWeekly: 4, keepMonthly: 12 }, madeAt);
  const newest = ["/srv/app/data/lancedb-table", "/srv/search/index"].flatMap((uri) =>
    snapshots.filter(({ source }) => source.uri === uri).slice(0, 1),
  );
  return {
    location: "/mnt/backups/vault",
    madeAt,
    snapshots,
    newest,
    stored: { blobs: 3_412, bytes: snapshots.reduce((sum, { newBytes }) => sum + newBytes, 0) },
    retention: {
      rules: "--keep-daily 7 --keep-weekly 4 --keep-monthly 12",
      plan: { kept: keep, removed: remove, timeZone: "Europe/Berlin" },
    },
    verification: {
      kind: "every byte was read",
      results: [
        ...snapshots.map(({ id, files }) => ({
          snapshot: id,
          check: "integrity",
          ok: true,
          details: `${files} files: every byte hashed.`,
        })),
        { snapshot: "", check: "repository", ok: true, details: "Nothing is damaged." },
      ],
    },
  };
}

function snapshotOf(uri: string, night: number, end: Date, scale: number): SnapshotDetails {
  const createdAt = new Date(end.getTime() - (NIGHTS - night) * 24 * HOUR_MS + 6 * HOUR_MS * scale);
  const seconds = createdAt.toISOString().replace(/[-:]|\.\d+/g, "");
  const tables = ["chunks", "documents", "images"].map((id, index) =>
    tableOf(id, night, scale / (index + 1)),
  );
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  const files = tables.reduce((sum, table) => sum + table.files, 0);
  const source = { type: "lancedb", id: "sample", uri, host: "app-1" };
  const wave = 1 + Math.sin(night / 3) ** 2;
  return {
    id: `${seconds}-${(night * 0x1f3d5 + Math.round(scale * 1e6)).toString(16).padStart(8, "0")}`,
    ...(night % 15 === 7 && { name: "before-release" }),
    tags: night % 15 === 7 ? ["keep"] : [],
    source,
    parts: [{ source, files, bytes }],
    createdAt,
    durationMs: 4_000,
    history: "all",
    files,
    bytes,
    newFiles: night === 0 ? 400 : 30,
    storedBytes: 0,
    newBytes: night === 0 ? bytes : Math.round(bytes * 0.02 * wave),
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    tables,
    software: { lancedbBackup: "0.1.0", node: "24.21.0" },
    checksum: "0".repeat(64),
  };
}

function tableOf(id: string, night: number, scale: number): SnapshotTableDetails {
  const count = 4 + night;
  const versions = Array.from({ length: count }, (_, index) => ({
    version: index + 1,
    createdAt: new Date(2026, 9, 1, index),
    rows: Math.round(scale * (200_000 + 9_000 * index - (index % 11 === 10 ? 60_000 : 0))),
  }));
  const rows = versions.at(-1)?.rows ?? 0;
  return {
    id,
    directory: `${id}.lance`,
    version: count,
    digest: "0".repeat(64),
    versionCount: count,
    files: 40 + 3 * count,
    bytes: rows * 1_600,
    rows,
    tags: [],
    leftOut: [],
    versions,
  };
}
