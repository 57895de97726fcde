// @ts-check
// What the service's page does in a browser. Without it the page shows all that is there, and its buttons work; with it the
// page is told of what happens, and draws its charts.

const said = /** @type {HTMLElement | null} */ (document.getElementById("said"));
const link = document.getElementById("link");
const isLive = document.body.dataset.live === "yes";

/** Says something to whoever looks or listens. @param {string} text @param {boolean} isProblem */
function say(text, isProblem = false) {
  if (!said || text === "") return;
  said.classList.toggle("problem", isProblem);
  said.textContent = text;
}

/** What can have the focus. @param {Element} part */
function stops(part) {
  return /** @type {HTMLElement[]} */ ([
    ...part.querySelectorAll("a, button, input, select, summary, [tabindex]"),
  ]);
}

/**
 * What an element is, whatever stands before it. Of several, the how manyth.
 * @param {HTMLElement[]} all
 */
function namesOf(all) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return all.map((element) => {
    const name = `${element.tagName} ${element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent}`;
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return `${name} ${count}`;
  });
}

/**
 * Puts something new in the place of a part: the focus and what was unfolded or scrolled stay as they were.
 * @param {Element} part @param {string} html
 */
function replace(part, html) {
  if (part.innerHTML === html) return;
  const before = stops(part);
  const focused = namesOf(before)[before.indexOf(/** @type {HTMLElement} */ (document.activeElement))];
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const scrolled = [...part.querySelectorAll(".scroll")].map(({ scrollTop, scrollLeft }) => [
    scrollTop,
    scrollLeft,
  ]);
  part.innerHTML = html;
  part.querySelectorAll("details").forEach((details, index) => {
    details.open = open[index] ?? false;
  });
  part.querySelectorAll(".scroll").forEach((area, index) => {
    area.scrollTo({ top: scrolled[index]?.[0] ?? 0, left: scrolled[index]?.[1] ?? 0 });
  });
  if (focused !== undefined) {
    const after = stops(part);
    const next = after[namesOf(after).indexOf(focused)] ?? document.getElementById("main");
    next?.focus({ preventScroll: true });
  }
  drawCharts(part);
}

let loading = false;
let again = false;

/** Loads this very page, and shows what is new on it. */
async function load() {
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
    if (response.type === "opaqueredirect" || response.status === 401) return signIn();
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const here = document.getElementById(part.id);
      if (here && !part.parentElement?.closest("[data-part]")) replace(here, part.innerHTML);
    }
    document.title = fresh.title;
  } catch {
    // The line is down: when it is back, the event source says so, and the page is loaded then.
  } finally {
    loading = false;
    if (again) {
      again = false;
      load();
    }
  }
}

function signIn() {
  location.assign("/login");
}

function follow() {
  const policy = /^\/policies\/([^/]+)/.exec(location.pathname)?.[1];
  const source = new EventSource(policy === undefined ? "/events" : `/events?policy=${policy}`);
  let wasLost = false;
  source.addEventListener("open", () => {
    if (link) link.textContent = "Live: what happens is shown at once.";
    document.body.dataset.connected = "yes";
    if (wasLost) load();
    wasLost = false;
  });
  source.addEventListener("error", () => {
    if (link)
      link.textContent = "The service does not answer. What is shown is as of then; it is tried again.";
    document.body.dataset.connected = "no";
    if (!wasLost) say("The service does not answer.", true);
    wasLost = true;
    if (source.readyState === EventSource.CLOSED) load(); // refused: the session may be over
  });
  source.addEventListener("work", ({ data }) => {
    const work = document.getElementById("work");
    if (work) replace(work, data);
  });
  source.addEventListener("changed", ({ data }) => {
    say(data);
    load();
  });
  source.addEventListener("over", () => {
    source.close();
    signIn();
  });
}

/** Buttons ask without leaving the page. @param {SubmitEvent} event */
async function submit(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.dataset.quiet === undefined) return;
  event.preventDefault();
  if (form.querySelector("[aria-disabled]")) return;
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) fields.append(name, String(value));
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: fields,
      headers: { accept: "application/json" },
    });
    if (response.status === 401) return signIn();
    const isJson = response.headers.get("content-type")?.includes("json");
    const answer = isJson ? await response.json() : { problem: await response.text() };
    say(answer.said ?? answer.problem, !response.ok);
    load();
  } catch {
    say("The service does not answer. Nothing may have been begun.", true);
  }
}

/** @typedef {{ unit: "bytes" | "time", look: "line" | "bars", title: string, x: number[], y: number[] }} ChartData */

const UNITS = {
  bytes: /** @type {const} */ ([1, "B", 1e3, "kB", 1e6, "MB", 1e9, "GB", 1e12, "TB"]),
  time: /** @type {const} */ ([1, "ms", 1e3, "s", 60e3, "min", 3600e3, "h"]),
};

/** @param {number} value @param {"bytes" | "time"} unit */
function short(value, unit) {
  const units = UNITS[unit];
  let index = 0;
  while (index + 2 < units.length && value >= Number(units[index + 2])) index += 2;
  const part = value / Number(units[index]);
  return `${part >= 10 || Number.isInteger(part) ? Math.round(part) : part.toFixed(1)} ${units[index + 1]}`;
}

/** @param {ParentNode} part */
function drawCharts(part) {
  for (const element of part.querySelectorAll("[data-chart]")) draw(/** @type {HTMLElement} */ (element));
}

/** @param {HTMLElement} element */
function draw(element) {
  const plot = /** @type {any} */ (globalThis).uPlot;
  if (!plot || element.clientWidth === 0) return;
  const { unit, look, title, x, y } = /** @type {ChartData} */ (JSON.parse(element.dataset.chart ?? "{}"));
  const style = getComputedStyle(document.documentElement);
  const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--soft"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui",
  };
  const [first = 0] = x;
  const last = x.at(-1) ?? first;
  const room = Math.max(3600, (last - first) * 0.04);
  element.replaceChildren();
  new plot(
    {
      width: element.clientWidth,
      height: element.clientHeight,
      cursor: { drag: { x: false, y: false }, y: false },
      legend: { show: false },
      scales: {
        x: { range: () => [first - room, last + room] },
        y: {
          range: (/** @type {any} */ _u, /** @type {number} */ _min, /** @type {number} */ max) => [
            0,
            max > 0 ? max * 1.1 : 1,
          ],
        },
      },
      axes: [
        {
          ...axis,
          size: 30,
          space: 80,
          values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) =>
            ticks.map((tick) => dayOf(tick, last - first)),
        },
        {
          ...axis,
          size: 62,
          space: 40,
          values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) =>
            ticks.map((tick) => short(tick, unit)),
        },
      ],
      series: [
        {},
        {
          label: title,
          stroke: color(look === "line" ? "--one" : "--two"),
          fill: look === "line" ? color("--one-soft") : color("--two"),
          width: look === "line" ? 2 : 0,
          points: { show: look === "line" && x.length < 3 },
          ...(look === "bars" && { paths: plot.paths.bars({ size: [0.6, 14], radius: 0.2 }) }),
        },
      ],
    },
    [x, y],
    element,
  );
}

/** @param {number} seconds @param {number} span */
function dayOf(seconds, span) {
  const date = new Date(seconds * 1000);
  return span > 3 * 86_400
    ? date.toLocaleDateString("en", { day: "numeric", month: "short" })
    : date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

drawCharts(document);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(document));
let width = innerWidth;
addEventListener("resize", () => {
  if (width === innerWidth) return;
  width = innerWidth;
  drawCharts(document);
});
document.addEventListener("submit", submit);
if (isLive) follow();
