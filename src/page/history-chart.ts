import { html, type Markup } from "../html/markup.ts";
import { highestOf, lowestOf } from "../util/extremes.ts";
import { formatBytes, formatDuration, formatTime } from "../util/format.ts";

export interface Point {
  readonly at: Date;
  readonly value: number;
}

interface Chart {
  readonly title: string;
  readonly unit: "bytes" | "time";
  readonly look: "line" | "bars";
  /** What stands for several, where there are too many to draw each. */
  readonly together: "last" | "sum" | "longest";
}

const MOST_POINTS = 200;

/**
 * How a number went over time. The client draws it (client/page.js) from what stands in `data-chart`; who sees no drawing
 * has the numbers in a table and the gist in its name.
 *
 * @param all the oldest first.
 */
export function chartOf({ title: what, unit, look, together }: Chart, all: readonly Point[]): Markup {
  const format = unit === "bytes" ? formatBytes : formatDuration;
  const each = Math.ceil(all.length / MOST_POINTS);
  const title = each <= 1 ? what : `${what}, ${TOGETHER[together]} of each ${each}`;
  const points = each <= 1 ? all : thinned(all, each, together);
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

const TOGETHER: Record<Chart["together"], string> = { last: "last", sum: "sum", longest: "longest" };

/** One in place of each so many, counted from the newest. */
function thinned(points: readonly Point[], each: number, together: Chart["together"]): Point[] {
  const first = points.length % each;
  const groups = Map.groupBy(points, (_, index) => Math.floor((index - first) / each));
  return [...groups.values()].map((group) => {
    const values = group.map(({ value }) => value);
    const end = group.at(-1) ?? { at: new Date(0), value: 0 };
    if (together === "last") return end;
    const value = together === "sum" ? values.reduce((sum, one) => sum + one, 0) : highestOf(0, values);
    return { at: end.at, value };
  });
}
