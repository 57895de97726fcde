import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import type { Table as ArrowTable, Schema } from "apache-arrow";
import { arrow } from "../../src/arrow/arrow.ts";
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";
import type { PeriodicBackupOptions } from "../../src/periodic/periodic-options.ts";
import type { Clock } from "../../src/util/clock.ts";

export interface Warning {
  readonly message: string;
  readonly meta: Record<string, unknown> | undefined;
}

/** A database and a backup directory of a test's own. */
export class Place implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "periodic-"));
  readonly uri = join(this.root, "db");
  readonly backupDir = join(this.root, "backups");
  readonly warnings: Warning[] = [];
  readonly errors: Warning[] = [];
  readonly logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (message: string, meta?: Record<string, unknown>) => this.warnings.push({ message, meta }),
    error: (message: string, meta?: Record<string, unknown>) => this.errors.push({ message, meta }),
  };
  #connection: Connection | undefined;
  #fresh = 0;

  async db(): Promise<Connection> {
    this.#connection ??= await connect(this.uri);
    return this.#connection;
  }

  manager(options: PeriodicBackupOptions = {}): PeriodicBackupManager {
    const { uri, backupDir, logger } = this;
    return new PeriodicBackupManager({ uri, backupDir, logger, ...options });
  }

  files(): string[] {
    if (!existsSync(this.backupDir)) return [];
    return readdirSync(this.backupDir).sort((a, b) =>
      a.replace(/^\D*/, "") < b.replace(/^\D*/, "") ? -1 : 1,
    );
  }

  /** A path where nothing is. */
  fresh(): string {
    return join(this.root, `fresh-${++this.#fresh}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection?.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Rows `{ id, name }` with whole 32-bit ids. */
export function rowsOf(ids: readonly (number | null)[], name = "n"): ArrowTable {
  return tableOf({ id: [new arrow.Int32(), ids], name: [new arrow.Utf8(), ids.map((id) => `${name}${id}`)] });
}

export function tableOf(
  columns: Record<string, [import("apache-arrow").DataType, readonly unknown[]]>,
): ArrowTable {
  const fields = Object.entries(columns).map(([name, [type]]) => new arrow.Field(name, type, true));
  const schema: Schema = new arrow.Schema(fields);
  const data = Object.values(columns).map(
    ([type, values]) => arrow.vectorFromArray(values as never[], type).data[0]!,
  );
  const length = data[0]?.length ?? 0;
  const struct = new arrow.Data(new arrow.Struct(fields), 0, length, 0, [] as never, data);
  return new arrow.Table(schema, [new arrow.RecordBatch(schema, struct as never)]);
}

/** Everything that a database holds, in an order of its own: tables, columns, rows. */
export async function contentOf(uri: string): Promise<Record<string, unknown>> {
  const db = await connect(uri);
  try {
    const content: Record<string, unknown> = {};
    for (const path of [[], ...(await namespaces(db))]) {
      for (const name of await db.tableNames(path)) {
        const table = await db.openTable(name, path);
        const rows = (await table.query().toArray()).map((row) => JSON.stringify(row, plain));
        const { fields } = await table.schema();
        content[[...path, name].join("$")] = {
          columns: fields.map((field) => `${field.name}: ${field.type}${field.nullable ? "" : " not null"}`),
          rows: rows.sort(),
        };
        table.close();
      }
    }
    return content;
  } finally {
    db.close();
  }
}

async function namespaces(db: Connection): Promise<string[][]> {
  const { namespaces } = await db.listNamespaces();
  return namespaces.map((name) => [name]);
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value;
}

/** A clock that stands until it is moved. */
export class FakeClock implements Clock {
  wall = Date.UTC(2026, 0, 1);
  #now = 0;
  #timers: { at: number; every: number; callback: () => void }[] = [];

  now(): number {
    return this.wall;
  }

  monotonic(): number {
    return this.#now;
  }

  every(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, every: ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get waiting(): number {
    return this.#timers.length;
  }

  /** Lets time pass, and calls what is due on the way. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#advance(Math.max(next.at, this.#now));
      next.at = this.#now + Math.max(1, next.every);
      next.callback();
    }
    this.#advance(end);
  }

  #advance(to: number): void {
    this.wall += to - this.#now;
    this.#now = to;
  }
}
