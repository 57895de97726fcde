import type { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import type { bodyLimit } from "hono/body-limit";
import type { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { streamSSE } from "hono/streaming";
import { UnsupportedError } from "../errors.ts";
import { isNotInstalled } from "../util/not-installed.ts";

/** What the page takes from the libraries that it is served by. */
export interface Peers {
  readonly Hono: typeof Hono;
  readonly createAdaptorServer: typeof createAdaptorServer;
  readonly bodyLimit: typeof bodyLimit;
  readonly deleteCookie: typeof deleteCookie;
  readonly getCookie: typeof getCookie;
  readonly setCookie: typeof setCookie;
  readonly streamSSE: typeof streamSSE;
}

/** They are loaded with a page that is served: nobody else needs them. @throws UnsupportedError saying what to install. */
export async function loadPeers(): Promise<Peers> {
  try {
    const [{ Hono }, { createAdaptorServer }, { bodyLimit }, cookies, { streamSSE }] = await Promise.all([
      import("hono"),
      import("@hono/node-server"),
      import("hono/body-limit"),
      import("hono/cookie"),
      import("hono/streaming"),
    ]);
    const { deleteCookie, getCookie, setCookie } = cookies;
    return { Hono, createAdaptorServer, bodyLimit, deleteCookie, getCookie, setCookie, streamSSE };
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    throw new UnsupportedError(
      "The page needs the packages hono and @hono/node-server, which are not installed: npm install hono@4 @hono/node-server@2",
      { cause: error },
    );
  }
}
