/** Where a page is served. */
export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** A Pushgateway. */
export interface PushSettings {
  readonly url: string;
  /** Default `lancedb-backup`. */
  readonly job?: string | undefined;
  /** Default: the machine's name. */
  readonly instance?: string | undefined;
  /** The request's header, where a proxy before it asks for one. */
  readonly authorization?: string | undefined;
}

/** How a file's metrics are told. */
export interface MetricsSettings {
  /** While the service stays. */
  readonly listen?: Listen | undefined;
  /** Of `run --once`: a file for node_exporter's collector of such. */
  readonly textfile?: string | undefined;
  /** Of `run --once`. */
  readonly push?: PushSettings | undefined;
}

/** `9469`, which is of loopback alone, `127.0.0.1:9469`, `[::1]:9469`, `name:9469`. */
export const LISTEN = /^(?:\[([0-9A-Fa-f:.]+)\]:|([^\s:/[\]]+):)?(\d{1,5})$/;

const LOOPBACK = "127.0.0.1";

/** Undefined for what is no place to listen. */
export function parseListen(text: string): Listen | undefined {
  const [, six, name, digits] = LISTEN.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  return { host: six ?? name ?? LOOPBACK, port };
}
