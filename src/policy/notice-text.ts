import { escapeHtml } from "../html/html.ts";
import { formatDuration, formatTime } from "../util/format.ts";
import { printable } from "../util/printable.ts";
import { type Notice, saidOf, type Told } from "./notice.ts";
import type { Severity } from "./notice-kinds.ts";

// Names of tables, paths, and what servers have said may hold anything: each form takes out what it would be taken for.

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
export function titleOf(told: Told): string {
  return printable(`[${told.severity}] ${headingOf(told)}`);
}

function headingOf(told: Told): string {
  if (told.kind === "digest") return `Backups: ${told.message.replace(/\.$/, "")}`;
  return `Backup ${told.policy} ${saidOf(told.kind)}`;
}

/** As plain text, of several lines. */
export function textOf(told: Told): string {
  const facts = factsOf(told).map(([name, value]) => `${`${name}:`.padEnd(18)} ${printable(value)}`);
  const listed = listOf(told).map((line) => `- ${printable(line)}`);
  const paragraphs = [[printable(told.message)], listed, facts].filter((lines) => lines.length > 0);
  return `${paragraphs.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** As a whole document, which asks for nothing from anywhere. */
export function htmlOf(told: Told): string {
  const listed = listOf(told).map((line) => `<li>${escapeHtml(line)}</li>`);
  const list = listed.length === 0 ? "" : `<ul style="padding-left:20px">${listed.join("\n")}</ul>\n`;
  const rows = factsOf(told).map(
    ([name, value]) =>
      `<tr><th scope="row" style="text-align:left;padding:2px 16px 2px 0;font-weight:normal;color:#57606a">${escapeHtml(name)}</th><td style="padding:2px 0">${escapeHtml(value)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(titleOf(told))}</title></head>
<body style="font-family:system-ui,sans-serif;font-size:15px;line-height:1.5">
<h1 style="font-size:18px;color:${COLOURS[told.severity]}">${escapeHtml(headingOf(told))}</h1>
<p>${escapeHtml(told.message)}</p>
${list}<table style="border-collapse:collapse">${rows.join("\n")}</table>
</body></html>
`;
}

/** As the body of a Slack webhook. */
export function slackOf(told: Told): object {
  const title = titleOf(told);
  const facts = factsOf(told).map(([name, value]) => `*${name}:* ${value}`);
  const listed = shortened(listOf(told).map((line) => `• ${line}`));
  return {
    // Shown where blocks are not: in what pops up.
    text: slackText(`${title}: ${told.message}`),
    blocks: [
      {
        type: "header",
        text: { type: "plain_text", text: cut(`${SIGNS[told.severity]} ${title}`, 150), emoji: true },
      },
      { type: "section", text: mrkdwn([told.message, ...listed].join("\n")) },
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

/** As many lines as Slack takes beside a sentence, and how many there are besides. */
function shortened(lines: readonly string[]): readonly string[] {
  let room = SLACK_CHARACTERS - 300;
  const fitting = lines.findIndex((line) => {
    room -= slackText(line).length + 1;
    return room < 0;
  });
  return fitting < 0 ? lines : [...lines.slice(0, fitting), `… and ${lines.length - fitting} more lines`];
}

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** What a digest names, a line each. */
function listOf(told: Told): readonly string[] {
  if (told.kind !== "digest") return [];
  const lines = told.notices.map(({ message }) => cut(message.replaceAll("\n", " "), 300));
  return told.more === 0 ? lines : [...lines, `and ${told.more} more: see lancedb-backup status`];
}

function factsOf(told: Told): readonly (readonly [name: string, value: string])[] {
  if (told.kind !== "digest") return factsOfOne(told);
  const repositories = new Set(told.notices.map(({ repository }) => repository));
  const [only = ""] = repositories.size === 1 ? repositories : [];
  return [...(only === "" ? [] : [["Repository", only] as const]), ["Machine", told.host]];
}

function factsOfOne(notice: Notice): readonly (readonly [name: string, value: string])[] {
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
