import { html, type Markup } from "../html/markup.ts";
import { highestOf, lowestOf } from "../util/extremes.ts";
import { formatBytes, formatDuration, formatTime } from "../util/format.ts";

export interface Point {
  readonly at: Date;
  readonly value: number;
}

/**
 * How a number went over time. The client draws it (client/page.js) from what stands in `data-chart`; who sees no drawing
 * has the numbers in a table and the gist in its name.
 */
export function chartOf(
  title: string,
  unit: "bytes" | "time",
  look: "line" | "bars",
  points: readonly Point[],
): Markup {
  const format = unit === "bytes" ? formatBytes : formatDuration;
  const last = points.at(-1);
  if (!last) {
    return html`<figure class="chart"><figcaption><b>${title}</b></figcaption><p class="soft nothing">None known yet.</p></figure>`;
  }
  const values = points.map(({ value }) => value);
  const [least, most] = [lowestOf(last.value, values), highestOf(last.value, values)];
  const gist = `${title}: ${points.length === 1 ? "one value" : `${points.length} values, from ${format(least)} to ${format(most)}`}; the last is ${format(last.value)}.`;
  const data = JSON.stringify({
    unit,
    look,
    title,
    x: points.map(({ at }) => at.getTime() / 1000),
    y: values,
  });
  return html`<figure class="chart"><figcaption><b>${title}</b> <span>${format(last.value)}</span></figcaption>
<div class="drawing" role="img" aria-label="${gist}" data-chart="${data}"></div>
<details><summary>Values</summary><div class="scroll tall" tabindex="0" role="region" aria-label="${title}, values"><table><thead><tr><th scope="col">When</th><th scope="col" class="number">${title}</th></tr></thead><tbody>${points
    .toReversed()
    .map(
      ({ at, value }) => html`<tr><td>${formatTime(at)}</td><td class="number">${format(value)}</td></tr>`,
    )}</tbody></table></div></details></figure>`;
}
