import { type Connection, Index, type Table } from "@lancedb/lancedb";
import { arrow } from "../../src/arrow/arrow.ts";
import { tableOf } from "./harness.ts";

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TABLES = ["one", "two", "three"];

/** Does random things to a database, all that a table can go through. */
export class RandomWork {
  readonly #db: Connection;
  readonly #random: () => number;
  #nextId = 0;
  /** What was done, for a failing test's message. */
  readonly log: string[] = [];

  constructor(db: Connection, random: () => number) {
    this.#db = db;
    this.#random = random;
  }

  async step(): Promise<void> {
    const name = this.#pick(TABLES);
    const there = (await this.#db.tableNames()).includes(name);
    if (!there) {
      this.log.push(`create ${name}`);
      await this.#db.createTable(name, this.#rows(this.#int(40) + 1));
      return;
    }
    const table = await this.#db.openTable(name);
    const [what, act] = this.#pick(this.#operations(name, table));
    this.log.push(`${what} ${name}`);
    await act();
    table.close();
  }

  #operations(name: string, table: Table): [string, () => Promise<unknown>][] {
    const where = () => `id >= ${this.#int(this.#nextId + 1)} AND id % ${this.#int(4) + 1} = 0`;
    const add = () => table.add(this.#rows(this.#int(30) + 1));
    const optimize = (days: number) =>
      table.optimize({ cleanupOlderThan: new Date(Date.now() - days * 86_400_000) });
    const hasName = async () => (await table.schema()).fields.some((field) => field.name === "extra");
    return [
      ["add", add],
      ["add", add],
      ["delete", () => table.delete(where())],
      ["delete nothing", () => table.delete("false")],
      ["update", () => table.update({ where: where(), values: { name: `u${this.#int(1000)}` } })],
      [
        "upsert",
        () => {
          const merge = table.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll();
          return merge.execute(this.#rows(10, this.#int(this.#nextId)));
        },
      ],
      ["optimize", () => optimize(1)],
      ["optimize and clean up", () => optimize(0)],
      [
        "restore",
        async () => {
          const versions = await table.listVersions();
          await table.checkout(this.#pick(versions).version);
          await table.restore();
        },
      ],
      ["overwrite", () => this.#db.createTable(name, this.#rows(this.#int(20) + 1), { mode: "overwrite" })],
      [
        "change columns",
        async () => {
          if (await hasName()) await table.dropColumns(["extra"]);
          else await table.addColumns([{ name: "extra", valueSql: "id * 2" }]);
        },
      ],
      ["drop", () => this.#db.dropTable(name)],
      ["index", () => table.createIndex("id", { config: Index.btree() })],
      ["repeat a key", () => table.add(this.#rows(2, this.#int(this.#nextId)))],
      ["add a null key", () => table.add(this.#nullRow())],
    ];
  }

  #rows(count: number, from?: number) {
    const ids = Array.from({ length: count }, (_, at) => (from === undefined ? this.#nextId++ : from + at));
    this.#nextId = Math.max(this.#nextId, ...ids.map((id) => id + 1));
    return this.#tableOf(ids);
  }

  #nullRow() {
    return this.#tableOf([null]);
  }

  #tableOf(ids: readonly (number | null)[]) {
    const names = ids.map((id) => (this.#random() < 0.1 ? null : `n${id}-${this.#int(100)}`));
    const vector = new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true));
    return tableOf({
      id: [new arrow.Int32(), ids],
      name: [new arrow.Utf8(), names],
      vector: [vector, ids.map((id) => [id ?? 0, this.#int(10)])],
    });
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#int(list.length)] as T;
  }
}
