import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  CreateBucketCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll } from "vitest";
import { missingPrograms } from "./programs.ts";

/** A real S3 server on loopback, Ceph's radosgw, for the tests of one file. */
export interface S3Server {
  /** `http://127.0.0.1:<port>`. */
  readonly endpoint: string;
  readonly client: S3Client;
  /** Makes a bucket, and answers with its name. */
  bucket(kind?: "plain" | "versioned" | "locked"): Promise<string>;
  /** The address of a bucket's prefix, or of the whole bucket, as a user gives it. */
  address(bucket: string, prefix?: string, endpoint?: string): string;
  /** The keys in a bucket. */
  keys(bucket: string): Promise<string[]>;
  /** Makes another account of the buckets' owner, which may all that no policy denies. Answers with its keys. */
  account(name: string): Promise<Account>;
  /** Says what accounts may do in a bucket, in place of what was said before. */
  policy(bucket: string, statements: readonly Statement[]): Promise<void>;
}

export interface Account {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Its name in policies. */
  readonly arn: string;
}

/** Of a bucket's policy, for one account. `on`: keys in the bucket, with `*`; of the bucket itself: none. */
export interface Statement {
  readonly effect: "Allow" | "Deny";
  readonly account: Account;
  readonly actions: readonly string[];
  readonly on?: readonly string[];
}

const PROGRAMS = ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "curl"];

/** Why there can be no server here; undefined where there can be one. */
export function whyNoS3(): string | undefined {
  const missing = missingPrograms(PROGRAMS);
  if (missing.length === 0) return undefined;
  return `no S3 server here: ${missing.join(", ")} missing (Debian: ceph-mon ceph-osd radosgw ceph-common curl)`;
}

const run = promisify(execFile);

/** Starts one before the tests of a file, and ends it after them. */
export function useS3Server(): S3Server {
  let directory = "";
  let endpoint = "";
  let client: S3Client | undefined;
  beforeAll(async () => {
    // For the server and the SDK in this process; no credentials of whoever runs the tests are looked at.
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
    process.env["AWS_ACCESS_KEY_ID"] = "test";
    process.env["AWS_SECRET_ACCESS_KEY"] = "testsecret";
    for (let tries = 1; ; tries++) {
      directory = await mkdtemp(join(tmpdir(), "lancedb-backup-s3-"));
      const port = await freePort();
      try {
        await run("bash", [join(import.meta.dirname, "start-s3.sh"), directory, String(port)]);
        endpoint = `http://127.0.0.1:${port}`;
        break;
      } catch (error) {
        await end(directory);
        if (tries === 3) throw error;
      }
    }
    client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
    });
  });
  afterAll(async () => {
    client?.destroy();
    await end(directory);
  });
  const connected = () => {
    if (!client) throw new Error("the server has not been started");
    return client;
  };
  return {
    get endpoint() {
      return endpoint;
    },
    get client() {
      return connected();
    },
    async bucket(kind = "plain") {
      const Bucket = `b-${randomUUID()}`;
      await connected().send(
        new CreateBucketCommand({ Bucket, ...(kind === "locked" && { ObjectLockEnabledForBucket: true }) }),
      );
      if (kind === "versioned") {
        const VersioningConfiguration = { Status: "Enabled" } as const;
        await connected().send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
      }
      return Bucket;
    },
    address: (bucket, prefix = "", at = endpoint) =>
      `s3://${bucket}/${prefix}?region=us-east-1&endpoint=${encodeURIComponent(at)}&allowHttp=true`,
    async account(name) {
      const radosgw = { env: { ...process.env, CEPH_CONF: join(directory, "ceph.conf") } };
      const make = ["subuser", "create", "--uid=test", `--subuser=test:${name}`, "--access=full"];
      const { stdout } = await run("radosgw-admin", [...make, "--gen-secret", "--key-type=s3"], radosgw);
      const { keys } = JSON.parse(stdout) as { keys: Record<string, string>[] };
      const key = keys.find(({ user }) => user === `test:${name}`);
      const { access_key: accessKeyId = "", secret_key: secretAccessKey = "" } = key ?? {};
      return { accessKeyId, secretAccessKey, arn: `arn:aws:iam:::user/test:${name}` };
    },
    async policy(Bucket, statements) {
      const Statement = statements.map(({ effect, account, actions, on }) => ({
        Effect: effect,
        Principal: { AWS: [account.arn] },
        Action: actions,
        Resource: on ? on.map((keys) => `arn:aws:s3:::${Bucket}/${keys}`) : [`arn:aws:s3:::${Bucket}`],
      }));
      const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
      await connected().send(new PutBucketPolicyCommand({ Bucket, Policy }));
    },
    async keys(Bucket) {
      const { Contents = [] } = await connected().send(new ListObjectsV2Command({ Bucket }));
      return Contents.map(({ Key = "" }) => Key);
    },
  };
}

async function end(directory: string): Promise<void> {
  await run("bash", [join(import.meta.dirname, "stop-s3.sh"), directory]);
  await rm(directory, { recursive: true, force: true });
}

/** The first of nine ports in a row, of which nobody has the first now. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 1_000) * 10;
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
