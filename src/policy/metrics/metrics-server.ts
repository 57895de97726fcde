import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isListenedAt, reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { Listen } from "./metrics-settings.ts";
import { type MetricSource, PROMETHEUS_CONTENT_TYPE, prometheusText } from "./prometheus-text.ts";

/** How long to wait before it is tried again to listen where somebody else does. */
const AGAIN_MS = 1000;

/** Serves a registry's metrics at `/metrics`, in Prometheus' text format. Who cannot be listened for now is tried again. */
export class MetricsServer {
  readonly #registry: MetricSource;
  readonly #listen: Listen;
  readonly #logger: Logger;
  #starting: Promise<Server> | undefined;
  #again: NodeJS.Timeout | undefined;

  constructor(registry: MetricSource, listen: Listen, logger: Logger) {
    this.#registry = registry;
    this.#listen = listen;
    this.#logger = logger;
  }

  start(): void {
    this.#starting ??= this.#start();
  }

  async stop(): Promise<void> {
    const starting = this.#starting;
    this.#starting = undefined;
    const server = await starting;
    clearTimeout(this.#again);
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async #start(): Promise<Server> {
    const { createServer } = await import("node:http");
    const server = createServer({ requestTimeout: 10_000 }, (request, response) =>
      this.#answer(request, response),
    );
    server.on("error", (error) => {
      this.#logger.error("metrics are not served", { ...this.#listen, reason: reasonOf(error) });
      if (!isListenedAt(error) || this.#starting === undefined) return;
      this.#again = setTimeout(() => server.listen(this.#listen), AGAIN_MS);
    });
    server.on("listening", () => {
      const { address, port } = server.address() as AddressInfo;
      this.#logger.info("metrics are served", { address, port });
    });
    return server.listen(this.#listen);
  }

  #answer({ method, url = "" }: IncomingMessage, response: ServerResponse): void {
    const [status, text] = this.#page(method, url.split("?", 1).join());
    const headers = {
      "content-type": status === 200 ? PROMETHEUS_CONTENT_TYPE : "text/plain; charset=utf-8",
      ...{ "x-content-type-options": "nosniff", "cache-control": "no-store" },
    };
    response.writeHead(status, headers).end(method === "HEAD" ? undefined : text);
  }

  #page(method: string | undefined, path: string): readonly [status: number, text: string] {
    if (path !== "/metrics") return [404, "Metrics are at /metrics.\n"];
    if (method !== "GET" && method !== "HEAD") return [405, "Metrics are read by GET.\n"];
    try {
      return [200, prometheusText(this.#registry)];
    } catch (error) {
      this.#logger.error("metrics could not be collected", { reason: reasonOf(error) });
      return [500, "The metrics could not be collected.\n"];
    }
  }
}
