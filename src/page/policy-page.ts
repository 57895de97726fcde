import { html, type Markup } from "../html/markup.ts";
import type { PruneReport, Snapshot } from "../repository/index.ts";
import { counted, formatBytes, formatCount, formatTime } from "../util/format.ts";
import { mayAs } from "./access-token.ts";
import { chartOf } from "./history-chart.ts";
import { actionButton, csrfField, live, pageOf } from "./page-frame.ts";
import {
  calendar,
  policyPath,
  runsTable,
  snapshotPath,
  stackTable,
  stateBadge,
  when,
  workList,
} from "./page-parts.ts";
import type { PolicyCard, PolicyPage, RunKind } from "./page-state.ts";
import type { Session } from "./sign-in.ts";

const MOST_SNAPSHOTS = 200;
const MOST_RUNS = 20;

const HOME = { text: "All policies", href: "/" };

/** One policy: its history, its snapshots, and what may be done. */
export function policyPage(data: PolicyPage, session: Session, said?: string): Markup {
  const { card, now, work, runs, snapshots } = data;
  const { name, description } = card;
  return pageOf(
    { title: `${name} – Backups`, session, crumbs: [HOME], said },
    html`<div class="head"><h1>${name}</h1>${live("state", stateBadge(card.state))}</div>
${description !== undefined && html`<p class="soft">${description}</p>`}
${live("about", aboutOf(card, now))}
${live("actions", actionsOf(data, session))}
<section aria-labelledby="work-head"><h2 id="work-head">Under way</h2>${live("work", workList(work, now))}</section>
<section aria-labelledby="history-head"><h2 id="history-head">Over time</h2>${live("charts", chartsOf(data))}</section>
<section aria-labelledby="snapshots-head"><h2 id="snapshots-head">Snapshots</h2>${live("snapshots", snapshotsTable(name, snapshots, now))}</section>
<section aria-labelledby="runs-head"><h2 id="runs-head">Latest</h2>${live("runs", runsTable(runs.slice(0, MOST_RUNS), now, false))}</section>`,
  );
}

function aboutOf(card: PolicyCard, now: Date): Markup {
  const { why, state, schedule, location, sources, lastSuccess, nextRun, lastVerify } = card;
  const { full, incremental, timeZone } = schedule;
  const times = [
    full !== undefined && `full ${full}`,
    incremental !== undefined && `incremental ${incremental}`,
  ];
  const planned = times.filter((text) => text !== false).join(", ");
  const verdict =
    lastVerify &&
    html`${lastVerify.ok ? "whole" : html`<b class="bad">damage found</b>`}, ${when(lastVerify.at, now)}`;
  return html`${why !== undefined && state !== "well" && html`<p class="why">${why}</p>`}
<dl class="facts about"><div><dt>Last backup</dt><dd>${when(lastSuccess, now)}</dd></div><div><dt>Next run</dt><dd>${when(nextRun, now, "not planned")}</dd></div>
<div><dt>Last verification</dt><dd>${verdict ?? html`<span class="soft">not since the start</span>`}</dd></div>
<div><dt>Schedule</dt><dd>${planned === "" ? "none" : html`<code>${planned}</code> ${timeZone}`}</dd></div>
<div><dt>Sources</dt><dd>${sources.join(", ")}</dd></div><div><dt>Repository</dt><dd><code>${location}</code></dd></div></dl>`;
}

function actionsOf({ card: { name, snapshots }, work }: PolicyPage, { role, csrf }: Session): Markup | false {
  if (!mayAs(role, "operator")) return false;
  const path = policyPath(name);
  const disabled = work.length > 0;
  return html`<div class="actions">${actionButton({ action: `${path}/run`, csrf, text: "Back up now", label: `Back up ${name} now`, look: "main", disabled, fields: { type: "incremental" } })}
${actionButton({ action: `${path}/run`, csrf, text: "Full backup", label: `Back up ${name} now, and read every byte again`, disabled, fields: { type: "full" } })}
${actionButton({ action: `${path}/verify`, csrf, text: "Verify", label: `Verify the newest snapshot of ${name}`, disabled: disabled || snapshots === 0 })}
${mayAs(role, "administrator") && html`<a class="button" href="${path}/prune">Remove old snapshots …</a>`}</div>`;
}

function chartsOf({ snapshots, runs, days }: PolicyPage): Markup {
  const oldestFirst = snapshots.toReversed();
  const of = (value: (snapshot: Snapshot) => number) =>
    oldestFirst.map((snapshot) => ({ at: snapshot.createdAt, value: value(snapshot) }));
  const times = (kind: RunKind) =>
    runs
      .filter((run) => run.kind === kind && run.outcome === "success")
      .toReversed()
      .flatMap(({ at, durationMs }) => (durationMs === undefined ? [] : [{ at, value: durationMs }]));
  const charts = [
    chartOf(
      { title: "Size", unit: "bytes", look: "line", together: "last" },
      of(({ bytes }) => bytes),
    ),
    chartOf(
      { title: "New bytes", unit: "bytes", look: "bars", together: "sum" },
      of(({ newBytes }) => newBytes),
    ),
    chartOf(
      { title: "Time of backups", unit: "time", look: "bars", together: "longest" },
      of(({ durationMs }) => durationMs),
    ),
    chartOf(
      { title: "Time of verifications", unit: "time", look: "bars", together: "longest" },
      times("verify"),
    ),
    chartOf({ title: "Time of restores", unit: "time", look: "bars", together: "longest" }, times("restore")),
  ];
  return html`<div class="charts">${charts}<figure class="chart days"><figcaption><b>Calendar</b></figcaption>${calendar(days)}</figure></div>`;
}

function snapshotsTable(policy: string, snapshots: readonly Snapshot[], now: Date): Markup {
  if (snapshots.length === 0) return html`<p class="soft">There is no snapshot yet.</p>`;
  const rows = snapshots
    .slice(0, MOST_SNAPSHOTS)
    .map(({ id, createdAt, tables, rows, bytes, newBytes, tags }) => [
      html`<a href="${snapshotPath(policy, id)}">${formatTime(createdAt)}</a>`,
      when(createdAt, now),
      ...[formatCount(tables.length), formatCount(rows), formatBytes(bytes), formatBytes(newBytes)],
      tags.join(" "),
    ]);
  const numbers = ["Tables", "Rows", "Size", "New"].map((head) => ({ head, look: "number" }) as const);
  const columns = [{ head: "Taken" }, { head: "Age" }, ...numbers, { head: "Tags" }];
  const more = snapshots.length - MOST_SNAPSHOTS;
  return html`${stackTable("Snapshots, the newest first", columns, rows, { isTall: true })}
${more > 0 && html`<p class="soft">And ${counted(more, "older one")}: <code>lancedb-backup list</code> shows all.</p>`}`;
}

/** What a prune would remove, before it is asked for. */
export function prunePage(policy: string, plan: PruneReport, session: Session): Markup {
  const { removed, kept, freed, marked, waiting } = plan;
  const due = freed.bytes + marked.bytes + waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  const list = removed
    .slice(0, MOST_SNAPSHOTS)
    .map(({ snapshot, reason }) => [
      html`<a href="${snapshotPath(policy, snapshot.id)}">${formatTime(snapshot.createdAt)}</a>`,
      formatBytes(snapshot.bytes),
      reason,
    ]);
  const columns = [{ head: "Taken" }, { head: "Size", look: "number" }, { head: "Why" }] as const;
  const more = removed.length - list.length;
  return pageOf(
    {
      title: `Remove old snapshots of ${policy} – Backups`,
      session,
      crumbs: [HOME, { text: policy, href: policyPath(policy) }],
    },
    html`<h1>Remove old snapshots of ${policy}</h1>
<p>By the policy's retention ${counted(kept.length, "snapshot")} ${kept.length === 1 ? "stays" : "stay"} and <b>${removed.length} ${removed.length === 1 ? "goes" : "go"}</b>. What nobody needs any more takes ${formatBytes(due)}, and is freed after the time of grace.</p>
${list.length > 0 && stackTable("Snapshots that go", columns, list, { isTall: true })}
${more > 0 && html`<p class="soft">And ${formatCount(more)} more.</p>`}
<form class="actions" method="post" action="${policyPath(policy)}/prune">${csrfField(session.csrf)}<button class="danger">${removed.length > 0 ? `Remove ${counted(removed.length, "snapshot")}` : "Free what nobody needs"}</button><a class="button" href="${policyPath(policy)}">Change nothing</a></form>`,
  );
}
