import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import type { BackupService } from "../../../src/policy/backup-service.ts";
import { prometheusText } from "../../../src/policy/metrics/prometheus-text.ts";
import { Repository } from "../../../src/repository/index.ts";
import { MAIN } from "../../cli/cli.ts";
import { freePort, newPlace, valueIn, waitFor } from "./place.ts";

const ONE = { policy: "one" };

const textOf = (service: BackupService) => prometheusText(service.metrics);

/** Repositories are measured for who reads next. */
const measured = (service: BackupService) =>
  waitFor(() => {
    const text = textOf(service);
    return valueIn(text, "lancedb_repository_snapshots") === undefined ? undefined : text;
  });

describe("runs", () => {
  test("a success is counted, and what the snapshot is like is told", async () => {
    const place = await newPlace();
    const service = await place.service();
    const before = Date.now() / 1000;
    const { snapshot } = await service.run("one");
    const text = await measured(service);
    const value = (name: string, labels: Record<string, string> = ONE) => valueIn(text, name, labels);
    const run = (outcome: string) =>
      value("lancedb_backup_runs_total", { policy: "one", source: place.files, outcome });
    expect([run("success"), run("failure"), run("aborted")]).toEqual([1, 0, 0]);
    expect(value("lancedb_backup_last_run_success")).toBe(1);
    expect(value("lancedb_backup_last_run_timestamp_seconds")).toBeGreaterThanOrEqual(before);
    const last = value("lancedb_backup_last_success_timestamp_seconds")!;
    expect(last).toBe(snapshot!.createdAt.getTime() / 1000);
    expect(value("lancedb_backup_duration_seconds")).toBe(snapshot!.durationMs / 1000);
    expect(value("lancedb_backup_size_bytes")).toBe(5);
    expect(value("lancedb_backup_new_bytes")).toBe(5);
    expect(value("lancedb_backup_shrunk_tables")).toBe(0);
    // It is due a day after, and may be tried again for a second.
    expect(value("lancedb_backup_overdue_timestamp_seconds")).toBe(last + 86_400 + 1);
    const repository = { repository: place.vault };
    const blobs = readdirSync(join(place.vault, "blobs"), { recursive: true, withFileTypes: true });
    expect(value("lancedb_repository_snapshots", repository)).toBe(1);
    expect(value("lancedb_repository_blobs", repository)).toBe(
      blobs.filter((entry) => entry.isFile()).length,
    );
    expect(value("lancedb_repository_bytes", repository)).toBeGreaterThan(0);
    expect(
      value("lancedb_storage_requests_total", { operation: "write_new", outcome: "success" }),
    ).toBeGreaterThan(0);
  });

  test("a failure is counted, and leaves what is known of the last success", async () => {
    const place = await newPlace();
    const service = await place.service();
    await service.run("one");
    const last = valueIn(textOf(service), "lancedb_backup_last_success_timestamp_seconds", ONE);
    renameSync(place.files, `${place.files}-away`);
    expect((await service.run("one")).outcome).toBe("failure");
    const text = textOf(service);
    expect(valueIn(text, "lancedb_backup_runs_total", { outcome: "failure" })).toBe(1);
    expect(valueIn(text, "lancedb_backup_last_run_success", ONE)).toBe(0);
    expect(valueIn(text, "lancedb_backup_last_success_timestamp_seconds", ONE)).toBe(last);
  });

  test("tables that have lost most of their rows are told, until a snapshot finds no new loss", async () => {
    const place = await newPlace();
    const database = join(place.directory, "db");
    const rows = Array.from({ length: 200 }, (_, id) => ({ id }));
    const table = await (await connect(database)).createTable("t", rows);
    place.configure(
      "{}",
      `  db: { sources: [{ type: lancedb, path: ${database} }], schedule: { full: 1d } }`,
    );
    const service = await place.service();
    const shrunk = async () => {
      await service.run("db");
      return valueIn(textOf(service), "lancedb_backup_shrunk_tables", { policy: "db" });
    };
    expect(await shrunk()).toBe(0);
    await table.delete("id > 10");
    expect(await shrunk()).toBe(1);
    expect(await shrunk()).toBe(0);
  });

  test("a run that was stopped is counted as such, and is no failure", async () => {
    const place = await newPlace();
    const service = await place.service();
    await service.run("one");
    const running = service.run("one");
    await service.stop();
    expect((await running).outcome).toBe("aborted");
    const text = textOf(service);
    expect(valueIn(text, "lancedb_backup_runs_total", { outcome: "aborted" })).toBe(1);
    expect(valueIn(text, "lancedb_backup_last_run_success", ONE)).toBe(1);
  });

  test("a policy without any snapshot is overdue from the beginning of time on", async () => {
    const place = await newPlace();
    await Repository.init(place.vault, { logger: place.logger });
    const service = await place.service();
    await service.status();
    expect(valueIn(textOf(service), "lancedb_backup_overdue_timestamp_seconds", ONE)).toBe(0);
  });

  test("a service that begins knows what its repositories have", async () => {
    const place = await newPlace();
    const first = await place.service();
    await first.run("one");
    const then = textOf(first);
    await first.stop();
    const second = await place.service();
    second.start();
    await second.status();
    const now = textOf(second);
    for (const name of ["last_success_timestamp_seconds", "duration_seconds", "size_bytes", "new_bytes"]) {
      const metric = `lancedb_backup_${name}`;
      expect([name, valueIn(now, metric, ONE)]).toEqual([name, valueIn(then, metric, ONE)]);
    }
    expect(valueIn(now, "lancedb_backup_runs_total", { outcome: "success" })).toBe(0);
  });

  test("a service that begins knows also that the last run failed, and what was verified when", async () => {
    const place = await newPlace();
    const stateDirectory = join(place.directory, "state");
    const first = await place.service({ stateDirectory });
    await first.run("one");
    await first.runOnly("one", "verify");
    renameSync(place.files, `${place.files}-away`);
    expect((await first.run("one")).outcome).toBe("failure");
    await first.stop();
    const clock = {
      now: () => Date.now() + 100_000,
      monotonic: () => performance.now(),
      every: () => () => undefined,
    };
    const second = await place.service({ stateDirectory, clock });
    await second.status();
    const text = textOf(second);
    expect(valueIn(text, "lancedb_backup_last_run_success", ONE)).toBe(0);
    expect(valueIn(text, "lancedb_verify_last_success", ONE)).toBe(1);
    expect(valueIn(text, "lancedb_verify_oldest_blob_seconds", ONE)).toBeGreaterThan(99);
    expect(valueIn(text, "lancedb_verify_oldest_blob_seconds", ONE)).toBeLessThan(130);
  });

  test("no password of a source is told", async () => {
    const place = await newPlace();
    place.configure(
      "{}",
      "  two: { sources: [{ type: postgresql, connection: 'postgresql://me:hidden-word@127.0.0.1:1/db?sslpassword=hidden-word' }], schedule: { full: 1d } }",
    );
    const text = textOf(await place.service());
    expect(valueIn(text, "lancedb_backup_runs_total", { policy: "two", outcome: "success" })).toBe(0);
    expect(text).toContain('source="postgresql://127.0.0.1:1/db"');
    expect(text).not.toContain("hidden-word");
  });
});

describe("verifications and restores", () => {
  test("damage is counted, and is told until a verification finds none", async () => {
    const place = await newPlace();
    const service = await place.service();
    await service.run("one");
    await service.runOnly("one", "verify");
    const good = textOf(service);
    expect(valueIn(good, "lancedb_verify_last_success", ONE)).toBe(1);
    expect(valueIn(good, "lancedb_verify_failures_total", ONE)).toBe(0);
    expect(valueIn(good, "lancedb_verify_duration_seconds", ONE)).toBeGreaterThanOrEqual(0);
    expect(valueIn(good, "lancedb_verify_oldest_blob_seconds", ONE)).toBeLessThan(60);
    const blobs = readdirSync(join(place.vault, "blobs"), { recursive: true, withFileTypes: true });
    const [blob] = blobs.filter((entry) => entry.isFile());
    writeFileSync(join(blob!.parentPath, blob!.name), "other");
    expect((await service.runOnly("one", "verify")).outcome).toBe("failure");
    const bad = textOf(service);
    expect(valueIn(bad, "lancedb_verify_failures_total", ONE)).toBeGreaterThan(0);
    expect(valueIn(bad, "lancedb_verify_last_success", ONE)).toBe(0);
    expect(valueIn(bad, "lancedb_backup_last_run_success", ONE)).toBe(0);
  });

  test("how long ago blobs were read grows until a verification has read them all", async () => {
    const place = await newPlace();
    let now = Date.now();
    const clock = { now: () => now, monotonic: () => performance.now(), every: () => () => undefined };
    const service = await place.service({ clock });
    await service.run("one");
    const age = () => valueIn(textOf(service), "lancedb_verify_oldest_blob_seconds", ONE)!;
    now += 1000_000;
    expect(age()).toBeGreaterThan(990);
    expect(age()).toBeLessThan(1010);
    await service.runOnly("one", "verify");
    expect(age()).toBe(0);
    now += 50_000;
    expect(age()).toBe(50);
    place.configure("{}", "", "schedule: { full: 1d }, verification: { read_data: 50% }");
    const partly = await place.service({ clock });
    await partly.status();
    await partly.runOnly("one", "verify");
    expect(valueIn(textOf(partly), "lancedb_verify_oldest_blob_seconds", ONE)).toBeGreaterThan(1000);
  });

  test("a restore tells how long it took, by its repository", async () => {
    const place = await newPlace();
    const service = await place.service();
    await service.run("one");
    const repository = await service.repository("one");
    await repository.restore("one", { target: join(place.directory, "back") });
    const seconds = valueIn(textOf(service), "lancedb_restore_duration_seconds", { repository: place.vault });
    expect(seconds).toBeGreaterThan(0);
  });
});

describe("the page", () => {
  const addressOf = async (place: Awaited<ReturnType<typeof newPlace>>) => {
    const served = () => place.logged.find(({ message }) => message === "metrics are served")?.meta;
    const { address, port } = (await waitFor(served)) as { address: string; port: number };
    return { address, port, url: `http://${address}:${port}` };
  };

  test("is served on loopback while the service stays", async () => {
    const place = await newPlace();
    place.configure("{ listen: 0 }");
    const service = await place.service();
    await service.run("one");
    service.start();
    const { address, url } = await addressOf(place);
    expect(address).toBe("127.0.0.1");
    const answer = await fetch(`${url}/metrics?x=1`);
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(valueIn(await answer.text(), "lancedb_backup_runs_total", { outcome: "success" })).toBe(1);
    expect((await fetch(`${url}/metrics`, { method: "HEAD" })).status).toBe(200);
    expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${url}/`)).status).toBe(404);
    await service.stop();
    await expect(fetch(`${url}/metrics`)).rejects.toThrow();
  });

  test("where somebody else listens, the service runs, says so, and tries again", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const place = await newPlace();
    place.configure(`{ listen: "127.0.0.1:${port}" }`);
    const service = await place.service();
    service.start();
    await waitFor(() => place.logged.find(({ message }) => message === "metrics are not served"));
    expect((await service.run("one")).outcome).toBe("success");
    other.close();
    await addressOf(place);
  });

  test("of the command stays over SIGHUP, and does not keep it from ending", async () => {
    const place = await newPlace();
    const port = await freePort();
    place.configure(`{ listen: ${port} }`);
    const command = spawn(process.execPath, [MAIN, "run", "--config", place.config], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void command.kill("SIGKILL"));
    let said = "";
    for (const stream of [command.stdout, command.stderr])
      stream.on("data", (data) => (said += String(data)));
    const page = async () => (await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined))?.text();
    const runs = async () =>
      valueIn((await page()) ?? "", "lancedb_backup_runs_total", { outcome: "success" });
    await waitFor(async () => ((await runs()) === 1 ? true : undefined));
    command.kill("SIGHUP");
    await waitFor(() => (said.includes("were read again") ? true : undefined));
    await waitFor(async () => ((await runs()) === 0 ? true : undefined));
    const ended = once(command, "exit");
    command.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});
