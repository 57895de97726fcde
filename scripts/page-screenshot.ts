// Writes docs/images/page.png: the service's page in Chromium (Debian's), light and dark side by side. With a directory, its
// other pages besides, for who works on them.
import { join } from "node:path";
import { chromium } from "playwright-core";
import { newToken } from "../src/page/access-token.ts";
import { pageSettings } from "../src/page/page-options.ts";
import { serveSource } from "../src/page/serve-page.ts";
import { systemClock } from "../src/util/clock.ts";
import { samplePage } from "./page-sample.ts";

const [directory] = process.argv.slice(2);
const { token, hash } = await newToken();
const now = new Date(2026, 10, 27, 14, 20);
const settings = pageSettings({
  clock: { ...systemClock, now: () => now.getTime() },
  listen: "127.0.0.1:0",
  tokens: [{ name: "anna", role: "administrator", hash }],
  restoreTo: ["/restore"],
});
const source = samplePage(now);
await using served = await serveSource(settings, () => source);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const shots: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 1400 } });
    await page.goto(served.url);
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Policies" }).waitFor();
    await page.locator('body[data-connected="yes"]').waitFor();
    const shot = await page.screenshot();
    shots.push(`<img src="data:image/png;base64,${shot.toString("base64")}">`);
    if (directory !== undefined) {
      const snapshot = (await source.policy("vectors"))?.snapshots[0]?.id ?? "";
      const paths = [
        "/",
        "/policies/vectors",
        `/policies/vectors/snapshots/${snapshot}`,
        "/policies/vectors/prune",
        "/policies/agent-memory",
      ];
      for (const [index, path] of paths.entries()) {
        for (const width of [1000, 320]) {
          await page.setViewportSize({ width, height: 900 });
          await page.goto(`${served.url}${path}`);
          await page.screenshot({
            path: join(directory, `${colorScheme}-${index}-${width}.png`),
            fullPage: true,
          });
        }
      }
      await page.setViewportSize({ width: 1000, height: 900 });
      await page.goto(`${served.url}/login`);
      await page.screenshot({ path: join(directory, `${colorScheme}-login.png`) });
    }
    await page.close();
  }
  const both = await browser.newPage({ viewport: { width: 2000, height: 1400 } });
  await both.setContent(`<body style="margin:0;display:flex">${shots.join("")}</body>`);
  await both.screenshot({ path: join(import.meta.dirname, "../docs/images/page.png") });
} finally {
  await browser.close();
}
