import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/**
 * What becomes of a request.
 * `lost`: the connection is cut before the server hears of it. `unanswered`: the server does it, and the connection is cut
 * before its answer. `cut`: half of the answer's body comes. `500`, `503`: the server does not hear of it. `done500`: the
 * server does it, and 500 is answered. `slow`: the answer comes after a while, byte by byte.
 */
export type ProxyFault = "lost" | "unanswered" | "cut" | "500" | "503" | "done500" | "slow";

export interface Passed {
  /** Counted from 1. */
  readonly number: number;
  readonly method: string;
  readonly url: string;
}

export interface FaultProxy {
  readonly endpoint: string;
  readonly requests: readonly Passed[];
}

/** A proxy between the client and an S3 server, on loopback, that does what `plan` asks for to single requests. */
export async function faultProxy(
  target: string,
  plan: (passed: Passed) => ProxyFault | undefined,
): Promise<FaultProxy> {
  const requests: Passed[] = [];
  const server = createServer((incoming, answer) => {
    const passed = { number: requests.length + 1, method: incoming.method ?? "", url: incoming.url ?? "" };
    requests.push(passed);
    const fault = plan(passed);
    void pass(target, incoming, answer, fault).catch(() => answer.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

async function pass(
  target: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  fault: ProxyFault | undefined,
): Promise<void> {
  const body: Buffer[] = [];
  for await (const piece of incoming) body.push(piece as Buffer);
  if (fault === "lost") return void answer.destroy();
  if (fault === "500" || fault === "503") return refuse(answer, fault);
  const { hostname, port } = new URL(target);
  const { method, url: path, headers } = incoming;
  const forwarded = request({ hostname, port, method, path, headers });
  forwarded.end(Buffer.concat(body));
  const [answered] = (await once(forwarded, "response")) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of answered) pieces.push(piece as Buffer);
  if (fault === "unanswered") return void answer.destroy();
  if (fault === "done500") return refuse(answer, "500");
  const whole = Buffer.concat(pieces);
  answer.writeHead(answered.statusCode ?? 500, answered.headers);
  if (fault === "cut") {
    answer.write(whole.subarray(0, whole.length >> 1));
    setTimeout(() => answer.destroy(), 5);
    return;
  }
  if (fault === "slow") await new Promise((resolve) => setTimeout(resolve, 300));
  answer.end(whole);
}

function refuse(answer: ServerResponse, status: "500" | "503"): void {
  const code = status === "503" ? "SlowDown" : "InternalError";
  answer.writeHead(Number(status), { "content-type": "application/xml", "retry-after": "1" });
  answer.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>on purpose</Message></Error>`);
}
