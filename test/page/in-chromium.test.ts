import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { samplePage } from "../../scripts/page-sample.ts";
import { pageSettings } from "../../src/page/page-options.ts";
import type { PageSource } from "../../src/page/page-state.ts";
import { serveSource } from "../../src/page/serve-page.ts";
import { systemClock } from "../../src/util/clock.ts";
import { newPage, pageTokens, tokenOf } from "./page-place.ts";

const CHROMIUM = "/usr/bin/chromium";
const NIGHTLY = process.env["NIGHTLY"] === "1";
const HOSTILE = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>'&"\u0007\u202Eesrever\u2066 \u05d2\u05d9\u05d1\u05d5\u05d9 ${"w".repeat(400)}`;
/** Controls and turns of the direction of writing; what is written from right to left may be. */
const TURNING = ["\u0007", "\u202E", "\u2066"];

describe.skipIf(!existsSync(CHROMIUM))("in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());

  /** A browser that has come in. What it asks other machines for, and what goes wrong in it, fails the test. */
  async function enter(
    url: string,
    role: "reader" | "operator" | "administrator",
    options: Parameters<Browser["newContext"]>[0] = {},
  ) {
    const context: BrowserContext = await browser.newContext(options);
    const page = await context.newPage();
    const wrong: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(`${url}/`)) wrong.push(request.url());
    });
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("console", (message) => {
      // A refused answer is told there by the browser itself.
      if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) wrong.push(message.text());
    });
    onTestFinished(async () => {
      await context.close();
      expect(wrong).toEqual([]);
    });
    await page.goto(`${url}/`);
    await page.getByLabel("Token").fill(await tokenOf(role));
    await page.keyboard.press("Enter");
    await connected(page);
    return page;
  }

  async function serveSample(change: (source: PageSource) => PageSource = (source) => source) {
    const now = new Date(2026, 10, 27, 14, 20).getTime();
    const tokens = await pageTokens();
    const clock = { ...systemClock, now: () => now };
    const settings = pageSettings({ listen: "127.0.0.1:0", tokens, clock, restoreTo: ["/restore"] });
    const source = change(samplePage(new Date(now)));
    const served = await serveSource(settings, () => source);
    onTestFinished(() => served.close());
    const id = (await source.policy("vectors"))?.snapshots[0]?.id;
    const paths = [
      "/",
      "/policies/vectors",
      "/policies/agent-memory",
      `/policies/vectors/snapshots/${id}`,
      "/policies/vectors/prune",
    ];
    return { url: served.url, paths };
  }

  /** Landmarks, one heading above all, a name for all that is drawn or pressed, and no id twice. */
  async function assertTellable(page: Page, path: string) {
    for (const landmark of ["banner", "main", "contentinfo"] as const) {
      expect([path, landmark, await page.getByRole(landmark).count()]).toEqual([path, landmark, 1]);
    }
    expect([path, await page.getByRole("heading", { level: 1 }).count()]).toEqual([path, 1]);
    const nameless = await page.evaluate<string[]>(NAMELESS);
    expect([path, nameless]).toEqual([path, []]);
    const ids = await page.evaluate<string[]>("[...document.querySelectorAll('[id]')].map(({ id }) => id)");
    expect([path, new Set(ids).size]).toEqual([path, ids.length]);
  }

  const connected = (page: Page) => page.locator('body[data-connected="yes"]').waitFor();

  test("who comes in sees how policies stand, begins a run, and sees it go on and end, without loading the page anew", async () => {
    const { url, service, openGate, ran } = await newPage();
    await service.run("one");
    const context = await browser.newContext();
    const stranger = await context.newPage();
    await stranger.goto(`${url}/policies/one`);
    expect(new URL(stranger.url()).pathname).toBe("/login");
    await stranger.getByLabel("Token").fill("lbp_guessed");
    await stranger.getByRole("button", { name: "Sign in" }).click();
    await stranger.getByRole("alert").getByText("This token is not valid.").waitFor();
    await context.close();

    const page = await enter(url, "operator");
    await page.evaluate("window.isTheSame = true");
    const card = (name: string) =>
      page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });
    await card("one").getByText("Well").waitFor();
    await card("gated").getByText("Not run yet").waitFor();
    const ended = ran();
    await page.getByRole("button", { name: "Back up gated now" }).click();
    await page.getByRole("status").getByText("A backup of gated begins.").waitFor();
    await card("gated").getByText("Running").waitFor();
    await page.getByRole("progressbar", { name: "gated" }).waitFor();
    await page.getByText("asked for by operator").waitFor();
    expect(await page.getByRole("button", { name: "Back up gated now" }).isDisabled()).toBe(true);
    await openGate();
    expect((await ended).outcome).toBe("success");
    await card("gated").getByText("Well").waitFor();
    await page.getByRole("status").getByText("gated: backup, done.").waitFor();
    expect(await page.getByRole("progressbar").count()).toBe(0);

    // Begun by nobody here, and told all the same.
    await service.runOnly("one", "verify");
    await page.getByRole("status").getByText("one: verification, done.").waitFor();
    const latest = page.getByRole("region", { name: "Runs, the newest first" });
    await expect.poll(() => latest.getByRole("row").nth(1).textContent()).toContain("Verification");
    expect(await page.evaluate("window.isTheSame")).toBe(true);

    await card("one").getByRole("link", { name: "one" }).click();
    await page.getByRole("region", { name: "Snapshots, the newest first" }).getByRole("link").first().click();
    const row = page.getByRole("row").filter({ hasText: "words" });
    expect(await row.getByRole("cell").first().textContent()).toBe("2");
    expect(await page.getByRole("heading", { name: "Restore" }).count()).toBe(0);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goBack();
    await page.getByLabel("Token").waitFor();
  });

  test("a reader has no button but that of leaving; an administrator removes and restores", async () => {
    const { url, paths } = await serveSample();
    const reader = await enter(url, "reader");
    for (const path of paths.slice(0, 4)) {
      await reader.goto(`${url}${path}`);
      expect(await reader.getByRole("button").allTextContents()).toEqual(["Sign out"]);
    }
    await reader.goto(`${url}${paths[4]}`);
    await reader.getByText("This needs the role administrator; yours is reader.").waitFor();
    const administrator = await enter(url, "administrator");
    await administrator.goto(`${url}${paths[4]}`);
    await administrator.getByRole("button", { name: "Remove 4 snapshots" }).waitFor();
    await administrator.goto(`${url}${paths[3]}`);
    await administrator.getByRole("button", { name: "Restore" }).waitFor();
  });

  test.each(["light", "dark"] as const)(
    "in %s every text can be read and everything has a name, and nothing is cut off at 320 pixels",
    async (colorScheme) => {
      const { url, paths } = await serveSample();
      const page = await enter(url, "administrator", { colorScheme });
      for (const path of [...paths, "/login"]) {
        // Colours do not depend on the width, nor widths on colours.
        for (const width of NIGHTLY ? [1000, 320] : [colorScheme === "light" ? 320 : 1000]) {
          await page.setViewportSize({ width, height: 700 });
          await page.goto(`${url}${path}`);
          if (colorScheme === "light") await assertTellable(page, path);
          expect([path, width, await page.evaluate<string[]>(PALE)]).toEqual([path, width, []]);
          expect([path, width, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([
            path,
            width,
            width,
          ]);
        }
      }
      await page.setViewportSize({ width: 1000, height: 700 });
      await page.goto(`${url}/policies/vectors`);
      const charts = page.locator(".drawing canvas");
      await charts.nth(4).waitFor();
      expect(await charts.count()).toBe(5);
      expect(await page.evaluate("getComputedStyle(document.body).colorScheme")).toContain("dark");
      const back = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      const [red = 0] = (back.match(/\d+/g) ?? []).map(Number);
      expect(red > 128).toBe(colorScheme === "light");
    },
  );

  test("it goes by the keyboard alone, and the focus stays where it was when the page changes", async () => {
    const { url, service, openGate } = await newPage();
    const page = await enter(url, "operator");
    await page.goto(`${url}/`);
    await connected(page);
    await page.keyboard.press("Tab");
    expect(await focused(page)).toBe("To the content");
    await page.keyboard.press("Enter");
    for (let steps = 0; steps < 40 && (await focused(page)) !== "Back up gated now"; steps++) {
      await page.keyboard.press("Tab");
    }
    expect(await focused(page)).toBe("Back up gated now");
    const outline = await page.evaluate<string>("getComputedStyle(document.activeElement).outlineStyle");
    expect(outline).toBe("solid");
    await page.keyboard.press("Enter");
    await page.getByRole("progressbar", { name: "gated" }).waitFor();
    await expect.poll(() => focused(page)).toBe("Back up gated now");
    await openGate();
    await page.getByRole("status").getByText("gated: backup, done.").waitFor();
    await page.getByRole("listitem").filter({ hasText: "gated" }).getByText("Well").waitFor();

    for (let steps = 0; steps < 40 && (await focused(page)) !== "Back up one now"; steps++)
      await page.keyboard.press("Tab");
    const before = await page
      .getByRole("region", { name: "Runs, the newest first" })
      .getByRole("row")
      .count();
    await service.runOnly("gated", "verify");
    await expect
      .poll(() => page.getByRole("region", { name: "Runs, the newest first" }).getByRole("row").count())
      .toBeGreaterThan(before);
    expect(await focused(page)).toBe("Back up one now");
  });

  test("what is in names, paths and errors is text", async () => {
    const hostile = (source: PageSource): PageSource => ({
      ...source,
      overview: async (asked) => {
        const data = await source.overview(asked);
        const cards = data.cards.map((card) => ({
          ...card,
          description: HOSTILE,
          why: HOSTILE,
          sources: [HOSTILE],
        }));
        return {
          ...data,
          file: HOSTILE,
          search: HOSTILE,
          cards,
          runs: data.runs.map((run) => ({ ...run, details: HOSTILE, by: HOSTILE })),
        };
      },
      policy: async (name) => {
        const data = await source.policy(name);
        if (!data) return undefined;
        const card = {
          ...data.card,
          location: HOSTILE,
          why: HOSTILE,
          state: "failed",
          description: HOSTILE,
        } as const;
        return {
          ...data,
          card,
          snapshots: data.snapshots.map((one) => ({ ...one, tags: [HOSTILE] })),
          runs: data.runs.map((run) => ({ ...run, details: HOSTILE })),
        };
      },
      snapshot: async (policy, id) => {
        const data = await source.snapshot(policy, id);
        if (!data) return undefined;
        const { snapshot } = data;
        const where = { type: HOSTILE, id: "x", uri: HOSTILE, host: HOSTILE };
        const tables = snapshot.tables.map((table) => ({ ...table, id: HOSTILE }));
        return {
          ...data,
          snapshot: {
            ...snapshot,
            tables,
            description: HOSTILE,
            parts: [{ source: where, files: 1, bytes: 1 }],
          },
        };
      },
      work: () => source.work().map((work) => ({ ...work, by: HOSTILE })),
    });
    const { url, paths } = await serveSample(hostile);
    const page = await enter(url, "administrator");
    for (const path of paths.slice(0, 4)) {
      await page.goto(`${url}${path}`);
      await connected(page);
      expect(await page.locator("img, main script").count()).toBe(0);
      expect(await page.textContent("main")).toContain(`<img src=x onerror="document.title='taken'">`);
      expect(await page.title()).not.toBe("taken");
      const content = await page.content();
      expect(TURNING.filter((sign) => content.includes(sign))).toEqual([]);
      await page.setViewportSize({ width: 320, height: 700 });
      expect([path, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([path, 320]);
    }
  });

  test("without scripts the same is there, and a button leads back to its page", async () => {
    const { url, ran } = await newPage();
    const context = await browser.newContext({ javaScriptEnabled: false });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await page.goto(`${url}/`);
    await page.getByLabel("Token").fill(await tokenOf("operator"));
    await page.getByRole("button", { name: "Sign in" }).click();
    const ended = ran();
    await page.getByRole("button", { name: "Back up one now" }).click();
    await page.getByText("A backup of one begins.").waitFor();
    expect(new URL(page.url()).pathname).toBe("/policies/one");
    expect((await ended).outcome).toBe("success");
  });
});

function focused(page: Page): Promise<string> {
  return page.evaluate<string>(
    "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent",
  );
}

/** Texts whose contrast is below 4.5 to 1. */
const PALE = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => known.get(color) ?? known.set(color, painted(color)).get(color);
  const painted = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)).reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (element.closest("svg, canvas, .uplot, .skip") || element.checkVisibility() === false) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) pale.push(element.textContent.trim().slice(0, 40) + ": " + contrast.toFixed(2));
  }
  return [...new Set(pale)];
})()`;

/** What can be pressed, filled in or is drawn, and has no name. */
const NAMELESS = `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, [role=img], [role=region], progress, nav, section")].filter((element) => {
  const by = (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("");
  const name = element.getAttribute("aria-label") || by || [...(element.labels ?? [])].map(({ textContent }) => textContent).join("") || (element.matches("a, button") ? element.textContent : "");
  return name.trim() === "";
}).map((element) => element.outerHTML.slice(0, 100))`;
