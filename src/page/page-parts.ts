import { html, type Markup, type MarkupValue } from "../html/markup.ts";
import { formatAge, formatBytes, formatDuration, formatTime } from "../util/format.ts";
import type { Day, PastRun, PolicyState, RunKind, Work } from "./page-state.ts";

// Pieces that several pages show. What a colour says is said by a word or a sign as well.

const STATE_WORDS: Record<PolicyState, readonly [sign: string, word: string]> = {
  failed: ["✕", "Failed"],
  damaged: ["✕", "Damaged"],
  overdue: ["!", "Overdue"],
  running: ["▸", "Running"],
  new: ["·", "Not run yet"],
  well: ["✓", "Well"],
  off: ["–", "Off"],
};

export function stateWord(state: PolicyState): string {
  return STATE_WORDS[state][1];
}

export function stateBadge(state: PolicyState): Markup {
  const [sign, word] = STATE_WORDS[state];
  return html`<span class="state ${state}"><span aria-hidden="true">${sign}</span> ${word}</span>`;
}

const KIND_WORDS: Record<RunKind, string> = {
  full: "Full backup",
  incremental: "Backup",
  verify: "Verification",
  prune: "Removal of old snapshots",
  restore: "Restore",
};

function kindWord(kind: RunKind): string {
  return KIND_WORDS[kind];
}

/** `3 h ago`, or `in 20 min`, with the whole time for who wants it. */
export function when(moment: Date | undefined, now: Date, otherwise = "never"): Markup {
  if (!moment) return html`<span class="soft">${otherwise}</span>`;
  const ahead = moment.getTime() - now.getTime();
  const text = ahead > 30_000 ? `in ${about(ahead)}` : formatAge(moment, now.getTime());
  return html`<time datetime="${moment.toISOString()}" title="${formatTime(moment)}">${text}</time>`;
}

function about(milliseconds: number): string {
  return formatDuration(Math.round(milliseconds / 60_000) * 60_000 || 60_000)
    .split(" ")
    .slice(0, 2)
    .join(" ");
}

/** A strip of days, a bar each. */
export function dayStrip(days: readonly Day[], policy: string): Markup {
  const failed = days.filter((day) => day.failed > 0).length;
  const well = days.filter((day) => day.well > 0 && day.failed === 0).length;
  const label = `${policy}, the last ${days.length} days: ${well} with backups, ${failed} with failures`;
  const width = days.length * 8 - 3;
  return html`<svg class="strip" viewBox="0 0 ${width} 26" preserveAspectRatio="none" role="img" aria-label="${label}">${days.map(
    (day, index) => {
      const x = index * 8;
      const hint = html`<title>${dayHint(day)}</title>`;
      if (day.failed > 0)
        return html`<g>${hint}<rect class="bad" x="${x}" y="0" width="5" height="26" rx="1.5"/><path class="cross" d="M${x + 1} 11l3 4m0-4l-3 4"/></g>`;
      if (day.well > 0)
        return html`<rect class="ok" x="${x}" y="0" width="5" height="26" rx="1.5">${hint}</rect>`;
      return html`<rect class="none" x="${x}" y="11" width="5" height="4" rx="1.5">${hint}</rect>`;
    },
  )}</svg>`;
}

function dayHint({ date, well, failed }: Day): string {
  const parts = [well > 0 && `${well} done`, failed > 0 && `${failed} failed`].filter(
    (part) => part !== false,
  );
  return `${dateOf(date)}: ${parts.length > 0 ? parts.join(", ") : "nothing"}`;
}

function dateOf(date: Date): string {
  return formatTime(date).slice(0, 10);
}

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] as const;

/** Thirteen weeks, a column each: how often something was done in a day, and a cross where it failed. */
export function calendar(days: readonly Day[]): Markup {
  const weekday = (date: Date) => (date.getDay() + 6) % 7;
  const weeks: Day[][] = [[]];
  for (const day of days) {
    if (weekday(day.date) === 0 && weeks.at(-1)?.length) weeks.push([]);
    weeks.at(-1)?.push(day);
  }
  const cell = (day: Day | undefined) => {
    if (!day) return html`<td class="empty"></td>`;
    const kind = day.failed > 0 ? "bad" : day.well > 0 ? "ok" : "none";
    const sign = day.failed > 0 ? "✕" : day.well > 0 ? day.well : "";
    return html`<td class="${kind}" title="${dayHint(day)}"><span aria-hidden="true">${sign}</span><span class="unseen">${dayHint(day)}</span></td>`;
  };
  const heads = weeks.map((week, index) => {
    const [first] = week;
    const isNewMonth =
      first && (index === 0 || first.date.getMonth() !== weeks[index - 1]?.[0]?.date.getMonth());
    const month = first?.date.toLocaleString("en", { month: "short" });
    return html`<th scope="col"><span class="unseen">Week of ${first && dateOf(first.date)}</span><span aria-hidden="true">${isNewMonth && month}</span></th>`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Calendar of runs"><table class="calendar"><caption class="unseen">Runs of each day</caption>
<thead><tr><td></td>${heads}</tr></thead><tbody>${WEEKDAYS.map(
    (name, index) =>
      html`<tr><th scope="row"><span class="unseen">${name}</span><span aria-hidden="true">${index % 2 === 0 && name.slice(0, 3)}</span></th>${weeks.map((week) => cell(week.find(({ date }) => weekday(date) === index)))}</tr>`,
  )}</tbody></table></div>
<p class="legend soft"><span class="key ok" aria-hidden="true">2</span> done, how often <span class="key bad" aria-hidden="true">✕</span> failed <span class="key none" aria-hidden="true"></span> nothing</p>`;
}

const OUTCOMES = { success: ["✓", "Done"], failure: ["✕", "Failed"], aborted: ["–", "Stopped"] } as const;

export function runsTable(runs: readonly PastRun[], now: Date, withPolicy: boolean): Markup {
  if (runs.length === 0) return html`<p class="soft">Nothing has been done yet.</p>`;
  const columns: readonly Column[] = [
    ...(withPolicy ? [{ head: "Policy", look: "who" } as const] : []),
    { head: "What", look: "what" },
    ...[{ head: "Outcome" }, { head: "When" }, { head: "Took", look: "number" } as const],
    { head: "Result", look: "came" },
  ];
  const rows = runs.map(
    ({ policy, kind, snapshot, outcome, at, durationMs, details, bytes, newBytes, by }) => {
      const [sign, word] = OUTCOMES[outcome];
      const what =
        snapshot === undefined
          ? kindWord(kind)
          : html`<a href="${snapshotPath(policy, snapshot)}">${kindWord(kind)}</a>`;
      const came =
        details ?? (bytes === undefined ? "" : `${formatBytes(bytes)}, new ${formatBytes(newBytes ?? 0)}`);
      return [
        ...(withPolicy ? [html`<a href="${policyPath(policy)}">${policy}</a>`] : []),
        what,
        html`<span class="outcome ${outcome}"><span aria-hidden="true">${sign}</span> ${word}</span>`,
        when(at, now),
        durationMs !== undefined && formatDuration(durationMs),
        // In one piece, also where the cell's name stands beside it.
        (came !== "" || by !== undefined) &&
          html`<span>${came}${by !== undefined && html` <span class="soft">asked for by ${by}</span>`}</span>`,
      ];
    },
  );
  return stackTable("Runs, the newest first", columns, rows);
}

interface Column {
  readonly head: string;
  readonly look?: "number" | "who" | "what" | "came";
}

/**
 * A table that is a list of its rows where it is narrow. What it is, is said by roles besides: there browsers may not tell it
 * any more.
 *
 * @param rows the first cell of each is its head.
 */
export function stackTable(
  label: string,
  columns: readonly Column[],
  rows: readonly (readonly MarkupValue[])[],
  { isTall = false }: { readonly isTall?: boolean } = {},
): Markup {
  const look = (index: number) => {
    const of = columns[index]?.look;
    return of && html` class="${of}"`;
  };
  const heads = columns.map(
    ({ head }, index) => html`<th scope="col" role="columnheader"${look(index)}>${head}</th>`,
  );
  const cell = (value: MarkupValue, index: number) =>
    index === 0
      ? html`<th scope="row" role="rowheader"${look(index)}>${value}</th>`
      : html`<td role="cell" data-head="${columns[index]?.head}"${look(index)}>${value}</td>`;
  const body = rows.map((cells) => html`<tr role="row">${cells.map(cell)}</tr>`);
  return html`<div class="scroll${isTall && " tall"}" tabindex="0" role="region" aria-label="${label}"><table class="stack" role="table"><caption class="unseen">${label}</caption><thead role="rowgroup"><tr role="row">${heads}</tr></thead><tbody role="rowgroup">${body}</tbody></table></div>`;
}

const STEP_WORDS = { backup: "backing up", prune: "removing old snapshots", verify: "verifying" } as const;
const PHASE_WORDS: Record<string, string> = {
  capture: "looking at the sources",
  read: "reading",
  write: "writing",
  verify: "verifying",
  sync: "making it durable",
  copy: "copying",
};

/** What is being done, each with how far it has come. */
export function workList(work: readonly Work[], now: Date): Markup {
  if (work.length === 0) return html`<p class="soft">Nothing is being done.</p>`;
  return html`<ul class="work">${work.map((one, index) => {
    const { policy, kind, step, progress, by, startedAt } = one;
    const { bytes = 0, totalBytes = 0, files = 0, totalFiles = 0, phase } = progress ?? {};
    const at = phase === undefined ? (step ? STEP_WORDS[step] : "beginning") : (PHASE_WORDS[phase] ?? phase);
    const part = totalBytes > 0 ? bytes / totalBytes : totalFiles > 0 ? files / totalFiles : undefined;
    const far = totalBytes > 0 ? `${formatBytes(bytes)} of ${formatBytes(totalBytes)}` : "";
    const percent = part === undefined ? undefined : Math.min(100, Math.round(part * 100));
    const id = `work-${index}`;
    return html`<li><div class="line"><span id="${id}"><a href="${policyPath(policy)}">${policy}</a> <span class="soft">${kindWord(kind)}: ${at}</span></span><span class="soft">${far}${percent !== undefined && ` · ${percent} %`}</span></div>
<progress aria-labelledby="${id}" max="100"${percent !== undefined && html` value="${percent}"`}>${percent}</progress>
<span class="soft fine">begun ${when(startedAt, now)}${by !== undefined && `, asked for by ${by}`}</span></li>`;
  })}</ul>`;
}

export function policyPath(policy: string): string {
  return `/policies/${encodeURIComponent(policy)}`;
}

export function snapshotPath(policy: string, id: string): string {
  return `${policyPath(policy)}/snapshots/${encodeURIComponent(id)}`;
}
