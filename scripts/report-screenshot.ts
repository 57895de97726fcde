// Writes docs/images/report.png: the page of `lancedb-backup report` in Chromium (Debian's), light and dark side by side.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { reportPage } from "../src/cli/report/report-page.ts";
import { sampleReport } from "./report-sample.ts";

const directory = mkdtempSync(join(tmpdir(), "report-"));
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const file = join(directory, "report.html");
  writeFileSync(file, reportPage(sampleReport()));
  const shots: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 880, height: 1560 } });
    await page.goto(`file://${file}`);
    const shot = await page.screenshot();
    shots.push(`<img src="data:image/png;base64,${shot.toString("base64")}">`);
    await page.close();
  }
  const both = await browser.newPage({ viewport: { width: 1760, height: 1560 } });
  await both.setContent(`<body style="margin:0;display:flex">${shots.join("")}</body>`);
  await both.screenshot({ path: join(import.meta.dirname, "../docs/images/report.png") });
} finally {
  await browser.close();
  rmSync(directory, { recursive: true });
}
