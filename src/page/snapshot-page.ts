import { html, type Markup } from "../html/markup.ts";
import { counted, formatBytes, formatCount, formatDuration, formatTime } from "../util/format.ts";
import { mayAs } from "./access-token.ts";
import { actionButton, csrfField, live, pageOf } from "./page-frame.ts";
import { policyPath, snapshotPath, stackTable, when, workList } from "./page-parts.ts";
import type { SnapshotPage } from "./page-state.ts";
import { nameOfSource, restorableParts } from "./restore-places.ts";
import type { Session } from "./sign-in.ts";

const MOST_TABLES = 1000;

/** One snapshot: its tables, and what may be done with it. @param roots the directories below which it may be restored. */
export function snapshotPage(
  { now, policy, work, snapshot }: SnapshotPage,
  {
    session,
    roots,
    said,
  }: { readonly session: Session; readonly roots: readonly string[]; readonly said?: string | undefined },
): Markup {
  const { id, createdAt, durationMs, files, bytes, newBytes, rows, parts, description, tags } = snapshot;
  const { role, csrf } = session;
  const path = snapshotPath(policy, id);
  const disabled = work.length > 0;
  const facts = [
    ["Taken", html`${formatTime(createdAt)}, ${when(createdAt, now)}`],
    ["Size", `${formatBytes(bytes)} in ${counted(files, "file")}`],
    ["New", formatBytes(newBytes)],
    ["Rows", formatCount(rows)],
    ["Took", formatDuration(durationMs)],
    ...(tags.length > 0 ? ([["Tags", tags.join(" ")]] as const) : []),
    ["Id", html`<code>${id}</code>`],
  ] as const;
  return pageOf(
    {
      title: `${policy}, ${formatTime(createdAt)} – Backups`,
      session,
      crumbs: [
        { text: "All policies", href: "/" },
        { text: policy, href: policyPath(policy) },
      ],
      said,
    },
    html`<div class="head"><h1>Snapshot of ${formatTime(createdAt)}</h1></div>
${description !== undefined && html`<p class="soft">${description}</p>`}
<dl class="facts about">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${live("work-part", work.length > 0 && html`<section aria-labelledby="work-head"><h2 id="work-head">Under way</h2><div id="work" data-part>${workList(work, now)}</div></section>`)}
${mayAs(role, "operator") && html`<div class="actions">${actionButton({ action: `${path}/verify`, csrf, text: "Verify this snapshot", label: `Verify the snapshot of ${formatTime(createdAt)}`, look: "main", disabled })}</div>`}
<section aria-labelledby="tables-head"><h2 id="tables-head">Tables</h2>${tablesOf(snapshot)}</section>
<section aria-labelledby="parts-head"><h2 id="parts-head">Sources</h2><ul class="plain panel">${parts.map(({ source, files, bytes }) => html`<li><b>${source.type}</b> <code>${source.uri}</code> <span class="soft">on ${source.host}, ${counted(files, "file")}, ${formatBytes(bytes)}</span></li>`)}</ul></section>
${mayAs(role, "administrator") && restoreForm(policy, snapshot, roots, session)}`,
  );
}

function tablesOf({ tables }: SnapshotPage["snapshot"]): Markup {
  if (tables.length === 0) return html`<p class="soft">It has no LanceDB table.</p>`;
  const numbers = ["Rows", "Version", "Versions", "Size"].map((head) => ({ head, look: "number" }) as const);
  const rows = tables
    .slice(0, MOST_TABLES)
    .map(({ id, rows, version, versionCount, bytes }) => [
      id,
      ...[formatCount(rows), formatCount(version), formatCount(versionCount), formatBytes(bytes)],
    ]);
  const more = tables.length - MOST_TABLES;
  return html`${stackTable("Tables of the snapshot", [{ head: "Table" }, ...numbers], rows, { isTall: true })}
${more > 0 && html`<p class="soft">And ${counted(more, "other")}: <code>lancedb-backup show</code> shows all.</p>`}`;
}

function restoreForm(
  policy: string,
  { id, parts: all }: SnapshotPage["snapshot"],
  roots: readonly string[],
  { csrf }: Session,
): Markup {
  const { parts, left } = restorableParts(all);
  if (roots.length === 0) {
    return html`<section aria-labelledby="restore-head"><h2 id="restore-head">Restore</h2><p class="soft">The file names no directory below which this page may restore (<code>restore_to</code>). On a terminal: <code>lancedb-backup restore ${id} …</code></p></section>`;
  }
  return html`<section aria-labelledby="restore-head"><h2 id="restore-head">Restore</h2>
<p class="soft">Into a new directory. What is there already is never written over.${parts.length > 1 && html` Each source goes into a directory of its own in it.`}</p>
${left.length > 0 && html`<p class="why">Without ${left.map(nameOfSource).join(", ")}: what belongs in a server is restored from a terminal.</p>`}
<form class="restore panel" method="post" action="${snapshotPath(policy, id)}/restore">${csrfField(csrf)}
<div><label for="root">Below</label><select id="root" name="root">${roots.map((root) => html`<option>${root}</option>`)}</select></div>
<div><label for="name">New directory</label><input id="name" name="name" required maxlength="100" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" value="${policy.replace(/[^A-Za-z0-9._-]/g, "-")}-${id.slice(0, 8)}" aria-describedby="name-help" spellcheck="false">
<p id="name-help" class="soft fine">Letters, digits and . _ - alone.</p></div>
<button class="danger">Restore</button></form></section>`;
}
