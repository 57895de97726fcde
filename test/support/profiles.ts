import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";
import { newDirectory } from "./database.ts";
import type { Account } from "./s3-server.ts";

/** Makes a credentials file of the AWS command line, whose profiles are these accounts, the one that a test's SDK reads. */
export async function useProfiles(accounts: Readonly<Record<string, Account>>): Promise<void> {
  const file = join(await newDirectory(), "credentials");
  const lines = Object.entries(accounts).flatMap(([name, { accessKeyId, secretAccessKey }]) => [
    `[${name}]`,
    `aws_access_key_id = ${accessKeyId}`,
    `aws_secret_access_key = ${secretAccessKey}`,
  ]);
  writeFileSync(file, `${lines.join("\n")}\n`);
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", file);
  // Clients that were made before have theirs. With both the SDK warns, and takes the profile.
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) vi.stubEnv(name, undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
}
