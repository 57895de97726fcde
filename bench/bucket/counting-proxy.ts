import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** Passes requests on to a server, and counts them. */
export interface CountingProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** Since it was asked last, by method; `LIST` for listings. */
  since(): Readonly<Record<string, number>>;
}

export async function countingProxy(target: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(target);
  let counts: Record<string, number> = {};
  const server = createServer((incoming, answer) => {
    const { method = "", url = "", headers } = incoming;
    const kind = method === "GET" && /[?&](list-type|prefix|delimiter)=/.test(url) ? "LIST" : method;
    counts[kind] = (counts[kind] ?? 0) + 1;
    const forwarded = request({ hostname, port, method, path: url, headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 500, answered.headers);
      answered.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    since() {
      const seen = counts;
      counts = {};
      return seen;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
