import { createHash } from "node:crypto";
import { STYLE } from "../html/style.ts";
import { charts, chartsStyle, script } from "./client-files.ts";
import { PAGE_STYLE } from "./page-style.ts";

/** A file that every page needs, and that nothing is secret of. */
export interface Asset {
  readonly type: string;
  readonly body: string;
  readonly tag: string;
}

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#0b62c4" d="M12 2 3 6v6c0 5 3.8 8.6 9 10 5.2-1.4 9-5 9-10V6z"/><path fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" d="m8 12 3 3 5-6"/></svg>`;

/** By their paths. */
export function pageAssets(): ReadonlyMap<string, Asset> {
  return new Map([
    ["/assets/page.js", asset("text/javascript; charset=utf-8", script)],
    ["/assets/uplot.js", asset("text/javascript; charset=utf-8", charts)],
    ["/assets/uplot.css", asset("text/css; charset=utf-8", chartsStyle)],
    ["/assets/page.css", asset("text/css; charset=utf-8", STYLE + PAGE_STYLE)],
    ["/assets/icon.svg", asset("image/svg+xml", ICON)],
  ]);
}

function asset(type: string, body: string): Asset {
  return { type, body, tag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` };
}
