import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

interface CutOptions {
  /** Which bytes count: those of the server, or those of who talks to it. Default `answers`. */
  readonly of?: "answers" | "requests";
  /** What is done before, such as ending the server: all that comes meanwhile is lost, and connections end as those of a dead process do. */
  readonly act?: (() => Promise<void>) | undefined;
}

/** A proxy on loopback before a server, that cuts all connections when so many bytes have come. Answers with its port. */
export async function cuttingProxy(
  port: number,
  bytes: number,
  { of = "answers", act }: CutOptions = {},
): Promise<number> {
  let left = bytes;
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  let isReached = false;
  const reached = async () => {
    if (!act) return cut();
    isReached = true;
    await act();
    for (const socket of sockets) socket.destroy();
  };
  const forward = (from: Socket, to: Socket, isCounted: boolean) => {
    sockets.add(from);
    from
      .on("data", (data) => {
        if (isReached) return;
        if (isCounted) left -= data.length;
        if (isCounted && left < 0) return void reached();
        if (to.destroyed || to.write(data)) return;
        from.pause();
        to.once("drain", () => from.resume());
      })
      .on("error", () => from.destroy())
      .on("close", (isBroken) => {
        sockets.delete(from);
        if (isBroken) to.destroy();
        else to.end();
      })
      .on("end", () => to.end());
  };
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    forward(client, upstream, of === "requests");
    forward(upstream, client, of === "answers");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    cut();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
