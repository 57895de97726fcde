import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/**
 * What becomes of a request.
 * `lost`: the connection is cut before the server hears of it. `unanswered`: the server does it, and the connection is cut
 * before its answer. `cut`: half of the answer's body comes. `500`, `503`: the server does not hear of it. `done500`: the
 * server does it, and 500 is answered. `slow`: the answer comes after a while. `short`, `long`: the answer's length is told to be
 * less, or more, than it is. `200`: the server does not hear of it, and 200 with an error's body is answered.
 */
export type ProxyFault =
  | "lost"
  | "unanswered"
  | "cut"
  | "500"
  | "503"
  | "done500"
  | "slow"
  | "short"
  | "long"
  | "200";

/** An answer in place of the server's, which does not hear of the request. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What any S3 server says of an error. */
export function errorAnswer(
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: { "content-type": "application/xml", ...headers },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>on purpose</Message></Error>`,
  };
}

export interface Passed {
  /** Counted from 1. */
  readonly number: number;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface FaultProxy {
  readonly endpoint: string;
  readonly requests: readonly Passed[];
}

/** A proxy between the client and an S3 server, on loopback, that does what `plan` asks for to single requests. */
export async function faultProxy(
  target: string,
  plan: (passed: Passed) => ProxyFault | Answer | undefined,
): Promise<FaultProxy> {
  const requests: Passed[] = [];
  const server = createServer((incoming, answer) => {
    const { method = "", url = "", headers } = incoming;
    const passed = { number: requests.length + 1, method, url, headers };
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
  fault: ProxyFault | Answer | undefined,
): Promise<void> {
  const body: Buffer[] = [];
  for await (const piece of incoming) body.push(piece as Buffer);
  if (fault === "lost") return void answer.destroy();
  if (typeof fault === "object") return say(answer, fault);
  if (fault === "500") return say(answer, FAILED);
  if (fault === "503") return say(answer, errorAnswer(503, "SlowDown", { "retry-after": "1" }));
  if (fault === "200") return say(answer, errorAnswer(200, "InternalError"));
  const { hostname, port } = new URL(target);
  const { method, url: path, headers } = incoming;
  const forwarded = request({ hostname, port, method, path, headers });
  forwarded.end(Buffer.concat(body));
  const [answered] = (await once(forwarded, "response")) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of answered) pieces.push(piece as Buffer);
  if (fault === "unanswered") return void answer.destroy();
  if (fault === "done500") return say(answer, FAILED);
  const whole = Buffer.concat(pieces);
  if (fault === "short" || fault === "long") return tellLength(answer, answered, whole, fault);
  answer.writeHead(answered.statusCode ?? 500, answered.headers);
  if (fault === "cut") {
    answer.write(whole.subarray(0, whole.length >> 1));
    setTimeout(() => answer.destroy(), 5);
    return;
  }
  if (fault === "slow") await new Promise((resolve) => setTimeout(resolve, 300));
  answer.end(whole);
}

const FAILED = errorAnswer(500, "InternalError", { "retry-after": "1" });

function say(answer: ServerResponse, { status, headers, body }: Answer): void {
  answer.writeHead(status, headers).end(body);
}

/** By the connection itself: Node holds an answer to its length. */
function tellLength(
  answer: ServerResponse,
  { statusCode, headers }: IncomingMessage,
  whole: Buffer,
  fault: "short" | "long",
): void {
  const length = fault === "short" ? whole.length >> 1 : whole.length + 10;
  const lines = Object.entries({ ...headers, "content-length": String(length), connection: "close" })
    .filter(([name]) => name !== "transfer-encoding")
    .map(([name, value]) => `${name}: ${value}`);
  answer.socket?.end(
    Buffer.concat([Buffer.from(`HTTP/1.1 ${statusCode} X\r\n${lines.join("\r\n")}\r\n\r\n`), whole]),
  );
}
