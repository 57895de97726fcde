import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A proxy on loopback before a server, that cuts all connections when the server has sent so many bytes. Answers with its port. */
export async function cuttingProxy(port: number, bytes: number): Promise<number> {
  let left = bytes;
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    }
    client.pipe(upstream);
    upstream.on("data", (data) => {
      left -= data.length;
      if (left < 0) return cut();
      if (client.write(data)) return;
      upstream.pause();
      client.once("drain", () => upstream.resume());
    });
    upstream.on("end", () => client.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    cut();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
