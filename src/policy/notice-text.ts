import { escapeHtml } from "../html/html.ts";
import { formatDuration, formatTime } from "../util/format.ts";
import { printable } from "../util/printable.ts";
import type { Notice } from "./notice.ts";
import type { NoticeKind, Severity } from "./notice-kinds.ts";

// Names of tables, paths, and what servers have said may hold anything: each form takes out what it would be taken for.

const TITLES: Readonly<Record<NoticeKind, string>> = {
  failure: "failed",
  recovery: "works again",
  overdue: "is overdue",
  damage: "has a damaged snapshot",
  shrink: "has shrunk",
  success: "went well",
};

const COLOURS: Readonly<Record<Severity, string>> = {
  info: "#1a7f37",
  warning: "#9a6700",
  error: "#cf222e",
  critical: "#a40e26",
};

const SIGNS: Readonly<Record<Severity, string>> = {
  info: ":white_check_mark:",
  warning: ":warning:",
  error: ":red_circle:",
  critical: ":rotating_light:",
};

/** In one line: a mail's subject. */
export function titleOf({ kind, policy, severity }: Notice): string {
  return printable(`[${severity}] Backup ${policy} ${TITLES[kind]}`);
}

/** As plain text, of several lines. */
export function textOf(notice: Notice): string {
  const facts = factsOf(notice).map(([name, value]) => `${`${name}:`.padEnd(18)} ${printable(value)}`);
  return `${printable(notice.message)}\n\n${facts.join("\n")}\n`;
}

/** As a whole document, which asks for nothing from anywhere. */
export function htmlOf(notice: Notice): string {
  const rows = factsOf(notice).map(
    ([name, value]) =>
      `<tr><th scope="row" style="text-align:left;padding:2px 16px 2px 0;font-weight:normal;color:#57606a">${escapeHtml(name)}</th><td style="padding:2px 0">${escapeHtml(value)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(titleOf(notice))}</title></head>
<body style="font-family:system-ui,sans-serif;font-size:15px;line-height:1.5">
<h1 style="font-size:18px;color:${COLOURS[notice.severity]}">Backup ${escapeHtml(notice.policy)} ${TITLES[notice.kind]}</h1>
<p>${escapeHtml(notice.message)}</p>
<table style="border-collapse:collapse">${rows.join("\n")}</table>
</body></html>
`;
}

/** As the body of a Slack webhook. */
export function slackOf(notice: Notice): object {
  const title = titleOf(notice);
  const facts = factsOf(notice).map(([name, value]) => `*${name}:* ${value}`);
  return {
    // Shown where blocks are not: in what pops up.
    text: slackText(`${title}: ${notice.message}`),
    blocks: [
      {
        type: "header",
        text: { type: "plain_text", text: cut(`${SIGNS[notice.severity]} ${title}`, 150), emoji: true },
      },
      { type: "section", text: mrkdwn(notice.message) },
      { type: "context", elements: [mrkdwn(facts.join("\n"))] },
    ],
  };
}

/** What Slack takes in one text. */
const SLACK_CHARACTERS = 3000;

/** `verbatim`: names in it call nobody. */
const mrkdwn = (text: string) => ({ type: "mrkdwn", text: slackText(text), verbatim: true });

const SLACK_ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** `<!channel>` would call everybody, and `<https://…|text>` be a link. Cut between characters that are whole. */
function slackText(text: string): string {
  let escaped = "";
  for (const character of text) {
    const next = character === "\n" ? character : (SLACK_ESCAPES[character] ?? printable(character));
    if (escaped.length + next.length > SLACK_CHARACTERS - 1) return `${escaped}…`;
    escaped += next;
  }
  return escaped;
}

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function factsOf(notice: Notice): readonly (readonly [name: string, value: string])[] {
  const { startedAt, durationMs, snapshot, failures, lastSuccess } = notice;
  return [
    ["Policy", notice.policy],
    ["Repository", notice.repository],
    ["Machine", notice.host],
    ...(startedAt === undefined ? [] : [["Began", timeOf(startedAt)] as const]),
    ...(durationMs === undefined ? [] : [["Took", formatDuration(durationMs)] as const]),
    ...(snapshot === undefined ? [] : [["Snapshot", snapshot] as const]),
    ...(lastSuccess === undefined ? [] : [["Last success", timeOf(lastSuccess)] as const]),
    ...(failures > 0 ? [["Failed in a row", String(failures)] as const] : []),
  ];
}

/** Whoever reads it may be anywhere. */
const timeOf = (moment: string) => `${formatTime(new Date(moment), "UTC")} UTC`;
