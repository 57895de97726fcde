import { html, type Markup } from "../html/markup.ts";
import { counted, formatBytes, formatTime } from "../util/format.ts";
import { mayAs } from "./access-token.ts";
import { actionButton, live, pageOf } from "./page-frame.ts";
import {
  calendar,
  dayStrip,
  policyPath,
  runsTable,
  stateBadge,
  stateWord,
  when,
  workList,
} from "./page-parts.ts";
import { type Overview, type PolicyCard, type PolicyState, STATES } from "./page-state.ts";
import type { Session } from "./sign-in.ts";

/** All policies: what has to be looked after first. */
export function overviewPage(data: Overview, session: Session, said?: string): Markup {
  const { file, now, cards, work, runs, days, coming } = data;
  return pageOf(
    { title: titleOf(data), session, said },
    html`<div class="head"><h1>Backups</h1><p class="soft"><code>${file}</code></p></div>
${live("figures", figures(data))}
<section aria-labelledby="work-head"><h2 id="work-head">Under way</h2>${live("work", workList(work, now))}</section>
<section aria-labelledby="policies-head"><div class="head"><h2 id="policies-head">Policies</h2>${searchForm(data)}</div>
${live("policies", html`${cards.length === 0 ? html`<p class="soft">No policy is called so.</p>` : html`<ul class="cards">${cards.map((card) => cardOf(card, data, session))}</ul>`}${pagesOf(data)}`)}</section>
<div class="beside"><section aria-labelledby="calendar-head"><h2 id="calendar-head">Calendar</h2>${live("calendar", calendar(days))}</section>
<section aria-labelledby="coming-head"><h2 id="coming-head">Coming up</h2>${live("coming", comingList(coming, now))}</section></div>
<section aria-labelledby="runs-head"><h2 id="runs-head">Latest</h2>${live("runs", runsTable(runs, now, true))}</section>`,
  );
}

function comingList(coming: Overview["coming"], now: Date): Markup {
  if (coming.length === 0) return html`<p class="soft">Nothing runs by itself.</p>`;
  return html`<ol class="plain panel coming">${coming.map(
    ({ policy, at }) =>
      html`<li><a href="${policyPath(policy)}">${policy}</a> <span>${when(at, now)} <span class="soft">${formatTime(at).slice(11, 16)}</span></span></li>`,
  )}</ol>`;
}

const TROUBLE: readonly PolicyState[] = ["failed", "damaged", "overdue"];

function troubled({ counts }: Overview): number {
  return TROUBLE.reduce((sum, state) => sum + (counts.get(state) ?? 0), 0);
}

/** A tab that lies behind others tells, too. */
function titleOf(data: Overview): string {
  const count = troubled(data);
  return count === 0 ? "Backups" : `(${count}) Backups`;
}

function figures(data: Overview): Markup {
  const { counts, coming, now, runs } = data;
  const total = STATES.reduce((sum, state) => sum + (counts.get(state) ?? 0), 0);
  const wrong = TROUBLE.filter((state) => counts.get(state)).map(
    (state) => `${counts.get(state)} ${stateWord(state).toLowerCase()}`,
  );
  const latest = runs.find(
    ({ kind, outcome }) => outcome === "success" && (kind === "full" || kind === "incremental"),
  );
  const verdict =
    wrong.length === 0
      ? html`<dd class="good"><span aria-hidden="true">✓</span> ${total === 0 ? "No policy" : "All well"}</dd>`
      : html`<dd class="bad"><span aria-hidden="true">✕</span> ${wrong.join(", ")}</dd>`;
  return html`<dl class="figures"><div class="wide-figure"><dt>${counted(total, "policy").replace(/policys$/, "policies")}</dt>${verdict}</div>
<div><dt>Last backup</dt><dd>${when(latest?.at, now)}</dd></div>
<div><dt>Next run</dt><dd>${when(coming[0]?.at, now, "none")}</dd></div>
<div><dt>Under way</dt><dd>${data.work.length}</dd></div></dl>`;
}

function searchForm({ search, pages }: Overview): Markup | false {
  if (pages === 1 && search === "") return false;
  return html`<form class="search" role="search" method="get" action="/"><label for="q">Find a policy</label><input id="q" name="q" value="${search}" spellcheck="false"><button>Find</button></form>`;
}

function pagesOf({ page, pages, search }: Overview): Markup | false {
  if (pages === 1) return false;
  const to = (number: number, text: string) =>
    html`<a href="/?${new URLSearchParams({ q: search, page: String(number) }).toString()}">${text}</a>`;
  return html`<nav class="pages" aria-label="Pages of policies">${page > 1 && to(page - 1, "Before")}<span>Page ${page} of ${pages}</span>${page < pages && to(page + 1, "Next")}</nav>`;
}

function cardOf(card: PolicyCard, { now, work }: Overview, { role, csrf }: Session): Markup {
  const { name, description, state, why, lastSuccess, nextRun, snapshots, bytes, newBytes, sources } = card;
  const path = policyPath(name);
  const isBusy = work.some(({ policy }) => policy === name);
  return html`<li class="card ${state}"><div class="card-head"><h3><a href="${path}">${name}</a></h3>${stateBadge(state)}</div>
<p class="soft">${description ?? sources.join(", ")}</p>
${why !== undefined && state !== "well" && html`<p class="why">${why}</p>`}
<dl class="facts"><div><dt>Last</dt><dd>${when(lastSuccess, now)}</dd></div><div><dt>Next</dt><dd>${when(nextRun, now, "not planned")}</dd></div>
<div><dt>Size</dt><dd>${bytes === undefined ? "–" : formatBytes(bytes)}</dd></div><div><dt>New</dt><dd>${newBytes === undefined ? "–" : formatBytes(newBytes)}</dd></div></dl>
<div>${dayStrip(card.days, name)}<p class="under-strip soft fine"><span>${card.days.length} days</span><span>${counted(snapshots, "snapshot")}</span></p></div>
${mayAs(role, "operator") && html`<div class="actions">${actionButton({ action: `${path}/run`, csrf, text: "Back up now", label: `Back up ${name} now`, disabled: isBusy })}${actionButton({ action: `${path}/verify`, csrf, text: "Verify", label: `Verify the newest snapshot of ${name}`, disabled: isBusy || snapshots === 0 })}</div>`}</li>`;
}
