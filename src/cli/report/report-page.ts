import { bars, compared, steps, strip, timeline } from "../../html/charts.ts";
import { escapeHtml, htmlTable } from "../../html/html.ts";
import { STYLE } from "../../html/style.ts";
import type { Snapshot, SnapshotTableDetails } from "../../repository/index.ts";
import { fallShown, fallsAmong } from "../../sources/lancedb/snapshot-view.ts";
import { counted, formatAge, formatBytes, formatTime } from "../../util/format.ts";
import type { ReportData } from "./report-data.ts";

/** Charts of so many tables are drawn; the others are in the table below them. */
const MOST_TABLES = 12;
const MOST_FALLS = 50;

/** By this a page is known as one of ours. */
export const PAGE_START = "<!doctype html><!-- lancedb-backup report -->";

/** The report as one page that needs nothing else: no network, no script. */
export function reportPage(data: ReportData): string {
  const sections = data.snapshots.length === 0 ? ["<p>There is no snapshot yet.</p>"] : sectionsOf(data);
  return `${PAGE_START}
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Backups in ${escapeHtml(data.location)}</title><style>${STYLE}</style></head><body>
<header><h1>Backups</h1><p class="soft"><code>${escapeHtml(data.location)}</code>, as of ${formatTime(data.madeAt)}</p></header>
<main>
${sections.join("\n")}
</main></body></html>
`;
}

function sectionsOf(data: ReportData): string[] {
  const oldestFirst = data.snapshots.toReversed();
  return [
    figures(data),
    ...fallsOf(data.snapshots),
    section("Timeline", timelineOf(oldestFirst)),
    section("Size over time", sizesOf(oldestFirst)),
    section("Deduplication", deduplicationOf(data)),
    section("Rows over versions", rowsOf(data)),
    section("What retention does", retentionOf(data)),
    section("Verification", verificationOf(data)),
  ];
}

function section(title: string, content: string): string {
  return `<section><h2>${title}</h2>\n${content}\n</section>`;
}

function figures({ snapshots, stored, verification, madeAt }: ReportData): string {
  const [newest] = snapshots;
  const isWhole = verification.results.every(({ ok }) => ok);
  const pairs = [
    ["Snapshots", String(snapshots.length)],
    ["Newest", newest ? formatAge(newest.createdAt, madeAt.getTime()) : "none"],
    ["Newest size", newest ? formatBytes(newest.bytes) : "none"],
    ["Stored", stored ? formatBytes(stored.bytes) : "unknown"],
  ] as const;
  const items = pairs.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`);
  const verdict = isWhole ? '<dd class="good">whole</dd>' : '<dd class="bad">damage</dd>';
  return `<dl class="figures">${items.join("")}<div><dt>Verification</dt>${verdict}</div></dl>`;
}

/** Tables that have lost most of their rows, in words. */
function fallsOf(snapshots: readonly Snapshot[]): string[] {
  const falls = fallsAmong(snapshots);
  if (falls.length === 0) return [];
  const items = falls.slice(0, MOST_FALLS).map((fall) => `<li>${escapeHtml(fallShown(fall))}</li>`);
  const more = falls.length - items.length;
  if (more > 0) items.push(`<li>and ${counted(more, "table")} more</li>`);
  return [section("Tables that have shrunk", `<ul class="bad">${items.join("")}</ul>`)];
}

function timelineOf(oldestFirst: readonly Snapshot[]): string {
  const databaseOf = databaseNames(oldestFirst);
  const marks = oldestFirst.map((snapshot) => ({
    at: snapshot.createdAt,
    label: `${snapshot.name ?? snapshot.id}, ${formatTime(snapshot.createdAt)}, ${formatBytes(snapshot.bytes)}`,
    lane: databaseOf(snapshot),
    isNamed: snapshot.name !== undefined || snapshot.tags.length > 0,
  }));
  const rows = oldestFirst.toReversed().map((snapshot) => {
    const { id, name = "", createdAt, tables, rows, bytes, newBytes, tags, source } = snapshot;
    const numbers = [tables.length, rows];
    const texts = [formatBytes(bytes), formatBytes(newBytes), tags.join(" "), source.uri];
    return [id, name, formatTime(createdAt), ...numbers, ...texts];
  });
  const heads = ["Id", "Name", "Time", "Tables", "Rows", "Size", "New", "Tags", "Source"];
  return `<figure>${timeline("Snapshots over time", marks)}<figcaption>Circles are snapshots; squares have a name or a tag.</figcaption></figure>
<details><summary>All snapshots</summary>${htmlTable("Snapshots, the newest first", heads, rows)}</details>`;
}

function sizesOf(oldestFirst: readonly Snapshot[]): string {
  const groups = Map.groupBy(oldestFirst, databaseNames(oldestFirst));
  return Array.from(groups, ([database, snapshots]) => {
    const of = (value: (snapshot: Snapshot) => number) =>
      snapshots.map((snapshot) => ({ label: formatTime(snapshot.createdAt), value: value(snapshot) }));
    const name = groups.size > 1 ? ` of ${database}` : "";
    const sizes = bars(
      `Size of each snapshot${name}`,
      of(({ bytes }) => bytes),
      "one",
    );
    const fresh = bars(
      `New bytes in each snapshot${name}`,
      of(({ newBytes }) => newBytes),
      "two",
    );
    return `${groups.size > 1 ? `<h3>${escapeHtml(database)}</h3>` : ""}
<figure>${sizes}<figcaption>What each snapshot holds.</figcaption></figure>
<figure>${fresh}<figcaption>What each added to the repository.</figcaption></figure>`;
  }).join("\n");
}

/** What each database is called: by where it was last, and where several were there, by the beginning of its id too. */
function databaseNames(oldestFirst: readonly Snapshot[]): (snapshot: Snapshot) => string {
  const uris = new Map(oldestFirst.map(({ source }) => [source.id, source.uri]));
  const counts = Map.groupBy(uris.values(), (uri) => uri);
  return ({ source: { id } }) => {
    const uri = uris.get(id) ?? "";
    return (counts.get(uri)?.length ?? 0) > 1 ? `${uri} (${id.slice(0, 8)})` : uri;
  };
}

function deduplicationOf({ snapshots, stored }: ReportData): string {
  const total = snapshots.reduce((sum, { bytes }) => sum + bytes, 0);
  if (!stored) return "<p>The repository's blobs are not in a local directory, and were not counted.</p>";
  const share =
    stored.bytes > 0 ? `, ${(total / stored.bytes).toFixed(1)} times less than the snapshots one by one` : "";
  const items = [
    { label: "All snapshots, one by one", value: total, style: "one" },
    { label: "Stored", value: stored.bytes, style: "two" },
  ] as const;
  return `<figure>${compared("What deduplication saves", items)}<figcaption>${counted(stored.blobs, "blob")} take ${formatBytes(stored.bytes)}${share}.</figcaption></figure>`;
}

function rowsOf({ newest }: ReportData): string {
  const tables = newest.flatMap(({ source, tables }) => tables.map((table) => ({ source, table })));
  const shown = tables.slice(0, MOST_TABLES).map(({ source, table }) => {
    const of = newest.length > 1 ? `<figcaption>of ${escapeHtml(source.uri)}</figcaption>` : "";
    const points = table.versions.map(({ version, rows }) => ({ label: `version ${version}`, value: rows }));
    return `<figure><h3>${escapeHtml(table.id)}</h3>${steps(`Rows of ${table.id}`, points)}${of}</figure>`;
  });
  const rows = tables.map(({ source, table }) => [
    table.id,
    source.uri,
    table.version,
    table.versionCount,
    table.rows,
    sinceOf(table),
  ]);
  const heads = ["Table", "Database", "Version", "Versions", "Rows", "Since"];
  return `<div class="small">${shown.join("\n")}</div>
<details><summary>All tables</summary>${htmlTable("Tables of the newest snapshots", heads, rows)}</details>`;
}

function sinceOf({ versions }: SnapshotTableDetails): string {
  const first = versions[0]?.createdAt;
  return first ? formatTime(first) : "unknown";
}

function retentionOf({ retention: { rules, plan } }: ReportData): string {
  const all = [
    ...plan.kept.map(({ snapshot, reasons }) => ({ snapshot, stays: true, why: reasons.join(", ") })),
    ...plan.removed.map(({ snapshot, reason }) => ({ snapshot, stays: false, why: reason })),
  ].sort((a, b) => a.snapshot.createdAt.getTime() - b.snapshot.createdAt.getTime());
  const items = all.map(({ snapshot, stays }) => ({
    label: formatTime(snapshot.createdAt, plan.timeZone),
    stays,
  }));
  const rows = all
    .toReversed()
    .map(({ snapshot, stays, why }) => [
      snapshot.id,
      formatTime(snapshot.createdAt, plan.timeZone),
      stays ? "stays" : "goes",
      why,
    ]);
  return `<p>With <code>${escapeHtml(rules)}</code> a prune now keeps ${plan.kept.length} and removes ${plan.removed.length}. Days, weeks, months and times here are those of ${escapeHtml(plan.timeZone)}.</p>
<figure>${strip("Snapshots that a prune keeps and removes", items)}<figcaption>Oldest first: full ones stay, empty ones go.</figcaption></figure>
<details><summary>Why</summary>${htmlTable("Each snapshot and its rule", ["Id", "Time", "", "Why"], rows)}</details>`;
}

function verificationOf({ verification: { kind, results }, madeAt }: ReportData): string {
  const bad = results.filter(({ ok }) => !ok);
  const verdict =
    bad.length === 0
      ? `<p class="good">All of ${counted(results.length, "check")} passed.</p>`
      : `<p class="bad">${bad.length} of ${counted(results.length, "check")} found damage.</p>`;
  const rows = [...bad, ...results.filter(({ ok }) => ok)].map(({ snapshot, check, ok, details }) => [
    ok ? "whole" : "DAMAGE",
    snapshot === "" ? "repository" : snapshot,
    check,
    details,
  ]);
  const isOpen = bad.length > 0 ? " open" : "";
  return `${verdict}<p class="soft">Made with this report, ${formatTime(madeAt)}: ${escapeHtml(kind)}.</p>
<details${isOpen}><summary>All checks</summary>${htmlTable("Checks", ["", "Snapshot", "Check", "What was found"], rows)}</details>`;
}
