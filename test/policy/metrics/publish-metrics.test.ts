import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { MAIN } from "../../cli/cli.ts";
import { missingPrograms } from "../../support/programs.ts";
import { freePort, newPlace, valueIn, waitFor } from "./place.ts";

const run = promisify(execFile);
const ONE = { policy: "one" };

describe("a text file", () => {
  const written = async () => {
    const place = await newPlace();
    mkdirSync(join(place.directory, "collector"));
    const file = join(place.directory, "collector/backup.prom");
    place.configure("{ textfile: collector/backup.prom }");
    return { ...place, file, text: () => readFileSync(file, "utf8") };
  };

  test("is written by run --once, and nothing is left beside it", async () => {
    const place = await written();
    await run(process.execPath, [MAIN, "run", "--once", "--config", place.config]);
    const text = place.text();
    expect(valueIn(text, "lancedb_backup_runs_total", { outcome: "success" })).toBe(1);
    expect(valueIn(text, "lancedb_repository_snapshots")).toBe(1);
    expect(readdirSync(join(place.directory, "collector"))).toEqual(["backup.prom"]);
  });

  test("goes on from what it has counted, and keeps what another run has told", async () => {
    const place = await written();
    const two = `  two: { sources: [{ type: filesystem, paths: [${place.files}] }], schedule: { full: 1d, retry_window: 1s } }`;
    place.configure("{ textfile: collector/backup.prom }", two);
    const runOnce = async (policy: string) => {
      const service = await place.service();
      await service.run(policy);
      await service.publishMetrics();
    };
    await runOnce("one");
    renameSync(place.files, `${place.files}-away`);
    await runOnce("two");
    renameSync(`${place.files}-away`, place.files);
    await runOnce("one");
    const text = place.text();
    const runs = (policy: string, outcome: string) =>
      valueIn(text, "lancedb_backup_runs_total", { policy, outcome });
    expect([runs("one", "success"), runs("two", "failure")]).toEqual([2, 1]);
    expect(valueIn(text, "lancedb_backup_last_run_success", { policy: "two" })).toBe(0);
    place.configure("{ textfile: collector/backup.prom }");
    await runOnce("one");
    expect(place.text()).not.toContain('policy="two"');
  });

  test("counts nothing twice that the same process has told, and what another told meanwhile once", async () => {
    const place = await written();
    const runs = () => valueIn(place.text(), "lancedb_backup_runs_total", { outcome: "success" });
    const [service, other] = [await place.service(), await place.service()];
    await service.run("one");
    for (let i = 0; i < 3; i++) await service.publishMetrics();
    expect(runs()).toBe(1);
    await other.run("one");
    await other.publishMetrics();
    expect(runs()).toBe(2);
    await service.run("one");
    for (let i = 0; i < 2; i++) await service.publishMetrics();
    expect(runs()).toBe(3);
  });

  test("tells for how long blobs have not been read, over processes", async () => {
    const place = await written();
    const first = await place.service();
    await first.run("one");
    await first.runOnly("one", "verify");
    await first.publishMetrics();
    const then = new Date(Date.now() - 3_600_000);
    utimesSync(place.file, then, then);
    const second = await place.service();
    await second.status();
    await second.publishMetrics();
    const age = valueIn(place.text(), "lancedb_verify_oldest_blob_seconds", ONE)!;
    expect(age).toBeGreaterThan(3590);
    expect(age).toBeLessThan(3700);
  });

  test("that is damaged, or cannot be written, fails no run", async () => {
    const place = await written();
    writeFileSync(place.file, "\0garbage{{{ lancedb_backup_runs_total{policy= NaN\n");
    const service = await place.service();
    await service.run("one");
    await service.publishMetrics();
    expect(valueIn(place.text(), "lancedb_backup_runs_total", { outcome: "success" })).toBe(1);
    place.configure("{ textfile: nowhere/backup.prom }");
    const other = await place.service();
    expect((await other.run("one")).outcome).toBe("success");
    await other.publishMetrics();
    const warning = place.logged.find(({ message }) => message === "the metrics were not written");
    expect(warning?.meta?.["reason"]).toContain("nowhere/backup.prom");
  });
});

describe("a push", () => {
  test("that is refused is tried again, then a warning without what is secret", async () => {
    let asked = 0;
    const server = createServer((request, response) => {
      asked++;
      expect(request.headers.authorization).toBe("Bearer hidden-word");
      response.writeHead(500).end("no");
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const place = await newPlace();
    place.configure(
      `{ push: { url: "http://127.0.0.1:${port}/secret-path", authorization: Bearer hidden-word } }`,
    );
    const service = await place.service();
    expect((await service.run("one")).outcome).toBe("success");
    await service.publishMetrics();
    expect(asked).toBe(3);
    const warning = place.logged.find(({ message }) => message === "the metrics were not pushed");
    expect(warning?.meta?.["reason"]).toBe(`127.0.0.1:${port} answered with the status 500: no`);
    expect(JSON.stringify(place.logged)).not.toMatch(/hidden-word|secret-path/);
    expect(JSON.stringify(service.policies)).not.toContain("hidden-word");
  });

  const missing = missingPrograms(["prometheus-pushgateway"]);

  test.skipIf(missing.length > 0)(
    "is taken by a real Pushgateway, each policy in a group of its own (Debian package prometheus-pushgateway)",
    async () => {
      const place = await newPlace();
      const port = await freePort();
      const gateway = spawn("prometheus-pushgateway", [`--web.listen-address=127.0.0.1:${port}`], {
        stdio: "ignore",
      });
      onTestFinished(async () => {
        gateway.kill();
        await once(gateway, "exit");
      });
      const url = `http://127.0.0.1:${port}`;
      await waitFor(async () =>
        (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok ? true : undefined,
      );
      const two = `  two: { sources: [{ type: filesystem, paths: [${place.files}] }], schedule: { full: 1d, retry_window: 1s } }`;
      place.configure(`{ push: { url: "${url}", job: a/b, instance: here } }`, two);
      for (const policy of ["one", "two"]) {
        const service = await place.service();
        await service.run(policy);
        await service.publishMetrics();
      }
      expect(place.logged.filter(({ message }) => message.startsWith("the metrics"))).toEqual([]);
      const text = await (await fetch(`${url}/metrics`)).text();
      for (const policy of ["one", "two"]) {
        const labels = { job: "a/b", instance: "here", policy };
        expect([policy, valueIn(text, "lancedb_backup_last_run_success", labels)]).toEqual([policy, 1]);
      }
      expect(valueIn(text, "lancedb_repository_snapshots", { job: "a/b", instance: "here" })).toBe(2);
      expect(existsSync(place.vault)).toBe(true);
    },
  );
});
