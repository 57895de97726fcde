import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { BackupService, type BackupServiceOptions } from "../../../src/policy/backup-service.ts";
import { samplesOfText } from "../../../src/policy/metrics/prometheus-text.ts";
import { loadPolicies } from "../../../src/policy/policies.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { writePolicies } from "../../support/policies.ts";

/** Files to back up, a place for a repository, and services of a configuration. */
export async function newPlace() {
  const directory = await newDirectory();
  const files = join(directory, "files");
  mkdirSync(files);
  writeFileSync(join(files, "a.txt"), "first");
  const { logger, logged } = recordingLogger();
  const config = join(directory, "backup.yaml");
  /** @param metrics the section of that name; @param policies further ones. */
  const configure = (metrics: string, policies = "", rest = "schedule: { full: 1d, retry_window: 1s }") =>
    writePolicies(directory, {
      storage: "type: local, path: vault, create: true",
      defaults: `metrics: ${metrics}`,
      policies: [`one: { sources: [{ type: filesystem, paths: [${files}] }], ${rest} }`, policies.trim()],
    });
  const service = async (options: BackupServiceOptions = {}) => {
    const made = new BackupService(await loadPolicies(config), { logger, ...options });
    onTestFinished(() => made.stop());
    return made;
  };
  configure("{}");
  return { directory, files, config, logger, logged, configure, service, vault: join(directory, "vault") };
}

/** The value of a sample, by its name and some of its labels; undefined: there is none. */
export function valueIn(text: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samplesOfText(text).filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`${found.length} samples of ${name} are meant.`);
  return found[0]?.value;
}

/** Waits for what is there in a while. */
export async function waitFor<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A port of loopback on which nobody listens now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
