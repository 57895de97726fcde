import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { connect } from "@lancedb/lancedb";
import { cache } from "../data/paths.ts";
import { insertRows } from "../data/rows.ts";

const run = promisify(execFile);
const SUPPORT = join(import.meta.dirname, "../../test/support");
const PORT = 24_870;
const KEYS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "testsecret" };

/** A real S3 server of its own (radosgw, in memory), a database, and a directory of small files; gone when disposed of. */
export class BucketPlace implements AsyncDisposable {
  readonly root = join(cache, "work", `bucket-${process.pid}`);
  readonly uri = join(this.root, "db");
  readonly small = join(this.root, "small");
  readonly endpoint = `http://127.0.0.1:${PORT}`;
  readonly #client: S3Client;
  #buckets = 0;

  private constructor() {
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
    Object.assign(process.env, KEYS);
    this.#client = new S3Client({ endpoint: this.endpoint, region: "us-east-1", forcePathStyle: true });
  }

  static async make(fragments: number, rows: number, files: number): Promise<BucketPlace> {
    const place = new BucketPlace();
    mkdirSync(place.small, { recursive: true });
    await place.#start();
    const db = await connect(place.uri);
    const table = await db.createTable("documents", insertRows(rows, 0));
    for (let n = 1; n < fragments; n++) await table.add(insertRows(rows, n));
    db.close();
    for (let n = 0; n < files; n++) {
      const folder = join(place.small, String(n % 100));
      if (n < 100) mkdirSync(folder);
      writeFileSync(join(folder, `${n}.txt`), `file ${n}\n`.repeat(50 + (n % 200)));
    }
    return place;
  }

  /** Now and then a daemon does not come up. */
  async #start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await run("bash", [join(SUPPORT, "start-s3.sh"), join(this.root, "s3"), String(PORT)]);
        return;
      } catch (error) {
        await this.#stop();
        if (tries === 3) throw error;
      }
    }
  }

  async #stop(): Promise<void> {
    await run("bash", [join(SUPPORT, "stop-s3.sh"), join(this.root, "s3")]);
    rmSync(join(this.root, "s3"), { recursive: true, force: true });
  }

  /** An empty bucket's name. */
  async bucket(): Promise<string> {
    const Bucket = `bench-${++this.#buckets}`;
    await this.#client.send(new CreateBucketCommand({ Bucket }));
    return Bucket;
  }

  address(bucket: string, endpoint = this.endpoint): string {
    return `s3://${bucket}/v?region=us-east-1&endpoint=${endpoint}&allowHttp=true`;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** A path below the place, where nothing is. */
  clear(name: string): string {
    const path = this.path(name);
    rmSync(path, { recursive: true, force: true });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
    await this.#stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}
