import { html, Markup, type MarkupValue } from "../html/markup.ts";
import type { Session } from "./sign-in.ts";

/** A way back to where a page lies. */
interface Crumb {
  readonly text: string;
  readonly href: string;
}

interface Frame {
  readonly title: string;
  readonly session?: Session | undefined;
  /** From the first page down to this one's parent. */
  readonly crumbs?: readonly Crumb[] | undefined;
  /** What has just been asked for, or went wrong. */
  readonly said?: string | undefined;
}

const SKIP = "main";

/** Not in a template: compilers rewrite those that have the end of a script in them. */
const SCRIPTS = new Markup(
  ["uplot", "page"].map((name) => `<script src="/assets/${name}.js" defer></script>`).join(""),
);

/** A whole page. Everything it needs comes from the same server, and its policy of content allows nothing else. */
export function pageOf({ title, session, crumbs = [], said }: Frame, content: MarkupValue): Markup {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${title}</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/assets/uplot.css"><link rel="stylesheet" href="/assets/page.css">
${SCRIPTS}</head>
<body${session && html` data-live="yes"`}><a class="skip" href="#${SKIP}">To the content</a>
<header class="top"><div class="bar"><a class="brand" href="/">${LOGO}<span>lancedb-backup</span></a>${session && whoOf(session)}</div></header>
<main id="${SKIP}" tabindex="-1">
${crumbs.length > 0 && html`<nav aria-label="Where this is"><ol class="crumbs">${crumbs.map(({ text, href }) => html`<li><a href="${href}">${text}</a></li>`)}</ol></nav>`}
<p id="said" class="said" role="status" aria-live="polite">${said}</p>
${content}
</main>
<footer class="foot">${session && html`<span id="link" class="soft">Shown as of the last load.</span>`}</footer></body></html>
`;
}

const LOGO = html`<svg class="logo" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M12 2 3 6v6c0 5 3.8 8.6 9 10 5.2-1.4 9-5 9-10V6z"/><path class="tick" d="m8 12 3 3 5-6"/></svg>`;

function whoOf({ name, role, csrf }: Session): Markup {
  return html`<div class="visitor"><span><b>${name}</b><span class="role">${role}</span></span>
<form method="post" action="/logout">${csrfField(csrf)}<button class="quiet">Sign out</button></form></div>`;
}

/** What a form of somebody must bring along. */
export function csrfField(csrf: string): Markup {
  return html`<input type="hidden" name="csrf" value="${csrf}">`;
}

interface Action {
  readonly action: string;
  readonly csrf: string;
  readonly text: string;
  /** What it does to what, for who hears the button alone. */
  readonly label: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly look?: "main" | "danger";
  /** It can have the focus all the same: who has just pressed it is not thrown out. */
  readonly disabled?: boolean;
}

/** A button that asks for something, by a form of its own. */
export function actionButton(asked: Action): Markup {
  const { action, csrf, text, label, fields = {}, look = "", disabled = false } = asked;
  return html`<form method="post" action="${action}" data-quiet>${csrfField(csrf)}${Object.entries(
    fields,
  ).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}<button class="${look}" aria-label="${label}"${disabled && html` aria-disabled="true"`}>${text}</button></form>`;
}

/** A part of a page that is replaced while it is looked at. */
export function live(id: string, content: MarkupValue): Markup {
  return html`<div id="${id}" data-part>${content}</div>`;
}

export function signInPage(problem?: string): Markup {
  return pageOf(
    { title: "Sign in – Backups" },
    html`<div class="sign-in"><h1>Sign in</h1>
<p class="soft">With a token of this service. <code>lancedb-backup page token</code> makes one.</p>
<form method="post" action="/login"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false"${problem && html` aria-invalid="true" aria-describedby="problem"`}>
${problem && html`<p id="problem" class="problem" role="alert">${problem}</p>`}
<button class="main">Sign in</button></form></div>`,
  );
}

export function problemPage(title: string, why: string, session?: Session): Markup {
  return pageOf(
    { title: `${title} – Backups`, session },
    html`<h1>${title}</h1><p>${why}</p><p><a href="/">To all policies</a></p>`,
  );
}
