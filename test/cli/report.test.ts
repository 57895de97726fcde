import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sampleReport } from "../../scripts/report-sample.ts";
import { reportPage } from "../../src/cli/report/report-page.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { run, runJson } from "./cli.ts";
import { addRow, damage, largestBlob, newPlace, snapshotOf } from "./fixture.ts";

const CHROMIUM = "/usr/bin/chromium";

test("report writes one file that needs nothing else, and changes nothing", async () => {
  const place = await newPlace();
  const first = await snapshotOf(place, "--name", "nightly");
  await addRow(place);
  await snapshotOf(place);
  const before = filesBelow(place.repo);
  const file = join(place.directory, "out.html");
  const { code, stdout } = await run(["report", place.repo, "--html", file, "--keep-last", "1"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `Wrote ${file}: 2 snapshots.\n` });
  // That it was verified is in the audit log.
  const isKept = (path: string) => !path.startsWith("audit/");
  expect(filesBelow(place.repo).filter(isKept)).toEqual(before.filter(isKept));
  const html = readFileSync(file, "utf8");
  expect(html).toContain(first);
  expect(html).toContain("With <code>--keep-last 1</code> a prune now keeps 1 and removes 1.");
  expect(html).not.toMatch(/https?:|<script|<link|url\(|@import/);
});

test("report of damage is written, and ends with 3; wrong use with 2", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  damage(largestBlob(place));
  const file = join(place.directory, "out.html");
  expect((await run(["report", place.repo, "--html", file])).code).toBe(0); // sizes are as they were
  const read = await run(["report", "--html", file, "--read-all", "--json"], { env: place.env });
  expect(read.code).toBe(3);
  expect(JSON.parse(read.stdout)).toMatchObject({ file, snapshots: 1, damaged: 1 });
  expect(readFileSync(file, "utf8")).toContain('<dd class="bad">damage</dd>');
  expect((await run(["report", place.repo])).stderr).toContain(
    "required option '--html <file>' not specified",
  );
  const nowhere = await run(["report", place.repo, "--html", join(place.directory, "no/such/out.html")]);
  expect(nowhere.code).toBe(2);
  expect(nowhere.stderr).toContain("cannot be written");
});

test("report replaces a page of its own, and nothing else", async () => {
  const place = await newPlace();
  await snapshotOf(place);
  const report = (file: string, ...more: string[]) => run(["report", place.repo, "--html", file, ...more]);
  const file = join(place.directory, "out.html");
  expect((await report(file)).code).toBe(0);
  expect((await report(file)).code).toBe(0);
  writeFileSync(file, "precious");
  const refused = await report(file);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("is not such a page; --force replaces it");
  expect(readFileSync(file, "utf8")).toBe("precious");
  expect((await report(file, "--force")).code).toBe(0);

  const marker = readFileSync(join(place.repo, "repository.json"), "utf8");
  for (const [target, why] of [
    [join(place.repo, "repository.json"), "it lies in the repository"],
    [join(place.repo, "snapshots/page.html"), "it lies in the repository"],
    [join(place.database, "words.lance/data/x.html"), "it lies among a database's files"],
    [place.database, "is no regular file"],
    [join(place.directory, "nowhere/x.html"), "its directory is not there"],
    ["-", "needs a file's name"],
  ] as const) {
    const { code, stderr } = await report(target, "--force");
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(why) });
  }
  expect(readFileSync(join(place.repo, "repository.json"), "utf8")).toBe(marker);
});

test("what is in names stays text", () => {
  const sample = sampleReport();
  const snapshots = sample.snapshots.map((snapshot) => ({ ...snapshot, name: `<img src=x onerror="x">'&` }));
  const html = reportPage({ ...sample, snapshots });
  expect(html).not.toContain("<img");
  expect(html).toContain("&lt;img src=x onerror=&quot;x&quot;&gt;&#39;&amp;");
});

describe.skipIf(!existsSync(CHROMIUM))("in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());

  /** Opens a page from its file, and answers with what it asked the network for and complained about. */
  async function open(html: string, options: { colorScheme?: "light" | "dark"; width?: number } = {}) {
    const file = join(await newDirectory(), "report.html");
    writeFileSync(file, html);
    const { colorScheme = "light", width = 900 } = options;
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
    const heard: string[] = [];
    page.on("request", (request) => heard.push(request.url()));
    page.on("console", (message) => heard.push(message.text()));
    page.on("pageerror", (error) => heard.push(error.message));
    await page.goto(`file://${file}`);
    expect(heard).toEqual([`file://${file}`]);
    return page;
  }

  test("a real one, and one of many snapshots, show every section and a named chart each", async () => {
    const place = await newPlace();
    await snapshotOf(place);
    const real = join(place.directory, "out.html");
    await runJson(["report", place.repo, "--html", real]);
    for (const html of [readFileSync(real, "utf8"), reportPage(sampleReport())]) {
      const page = await open(html);
      expect(await page.locator("h2").allTextContents()).toEqual([
        "Timeline",
        "Size over time",
        "Deduplication",
        "Rows over versions",
        "What retention does",
        "Verification",
      ]);
      const charts = page.getByRole("img");
      expect(await charts.count()).toBeGreaterThanOrEqual(7);
      for (const chart of await charts.all()) {
        expect(await chart.locator("> title").textContent()).toMatch(/\w/);
        expect(await chart.locator("> desc").textContent()).toMatch(/\d/);
        const box = await chart.boundingBox();
        expect(box?.width).toBeGreaterThan(100);
      }
      expect(await marksOutside(page)).toBe(0);
      await page.close();
    }
  });

  test.each(["light", "dark"] as const)(
    "text can be read in %s: contrast of 4.5 to 1, of marks 3 to 1",
    async (colorScheme) => {
      const page = await open(reportPage(sampleReport()), { colorScheme });
      const names = ["back", "panel", "text", "soft", "one", "two", "good", "bad"];
      const colors = await page.evaluate<Record<string, string>>(`
        Object.fromEntries(${JSON.stringify(names)}.map((name) =>
          [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim()]))`);
      for (const back of ["back", "panel"]) {
        for (const text of ["text", "soft", "good", "bad"]) {
          expect(
            contrast(colors[text] ?? "", colors[back] ?? ""),
            `${text} on ${back}`,
          ).toBeGreaterThanOrEqual(4.5);
        }
        for (const mark of ["one", "two"]) {
          expect(
            contrast(colors[mark] ?? "", colors[back] ?? ""),
            `${mark} on ${back}`,
          ).toBeGreaterThanOrEqual(3);
        }
      }
      const shown = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      expect(shown).toBe(colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(15, 18, 22)");
      await page.close();
    },
  );

  test("it fits a telephone, and without a snapshot says so", async () => {
    const page = await open(reportPage(sampleReport()), { width: 360 });
    expect(await overflow(page)).toBe(0);
    await page.close();
    const empty = await open(reportPage({ ...sampleReport(), snapshots: [], newest: [] }));
    expect(await empty.locator("main").textContent()).toContain("There is no snapshot yet.");
    await empty.close();
  });
});

/** How many marks of all charts are drawn beyond their chart's frame. */
function marksOutside(page: Page): Promise<number> {
  return page.evaluate<number>(`[...document.querySelectorAll("svg")].flatMap((chart) => {
    const { width, height } = chart.viewBox.baseVal;
    return [...chart.querySelectorAll("rect, circle, path, text")].filter((mark) => {
      const box = mark.getBBox();
      return box.x < 0 || box.y < 0 || box.x + box.width > width + 1 || box.y + box.height > height + 1;
    });
  }).length`);
}

function overflow(page: Page): Promise<number> {
  return page.evaluate<number>("document.documentElement.scrollWidth - document.documentElement.clientWidth");
}

/** WCAG's ratio of two colours like `#1b1f24`. */
function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(color: string): number {
  const channels = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255);
  const [red = 0, green = 0, blue = 0] = channels.map((part) =>
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
