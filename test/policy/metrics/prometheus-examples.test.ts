import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { newBackupMetrics } from "../../../src/policy/metrics/metric-definitions.ts";
import { newDirectory } from "../../support/database.ts";
import { missingPrograms } from "../../support/programs.ts";
import { freePort, newPlace, waitFor } from "./place.ts";

const EXAMPLES = join(import.meta.dirname, "../../../examples/prometheus");
const DOCS = join(import.meta.dirname, "../../../docs/metrics.md");
const missing = missingPrograms(["prometheus", "promtool"]);
const rules = readFileSync(join(EXAMPLES, "alerts.yaml"), "utf8");
const dashboard = JSON.parse(readFileSync(join(EXAMPLES, "dashboard.json"), "utf8")) as {
  panels: { targets: { expr: string }[] }[];
};
const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
const definitions = newBackupMetrics().families();

const namesIn = (text: string) => new Set(text.match(/\blancedb_[a-z_]+\b/g));

test("rules and the dashboard ask for metrics that there are, by labels that these have", () => {
  const known = new Map(definitions.map(({ name, labels }) => [name, labels]));
  const asked = [rules, ...shown].join("\n");
  expect([...namesIn(asked)].filter((name) => !known.has(name))).toEqual([]);
  for (const [, name = "", matchers = ""] of asked.matchAll(/\b(lancedb_[a-z_]+)\{([^}]*)\}/g)) {
    const labels = [...matchers.matchAll(/(\w+)\s*(?:=|!|=~)/g)].map(([, label = ""]) => label);
    const strange = labels.filter(
      (label) => ![...(known.get(name) ?? []), "job", "instance"].includes(label),
    );
    expect([name, strange]).toEqual([name, []]);
  }
});

test("the page on metrics has a line for each, with its kind, its labels and no other", () => {
  const lines = readFileSync(DOCS, "utf8").matchAll(/^\| `(lancedb_[a-z_]+)` \| (\w+) \| ([^|]*) \|/gm);
  const documented = [...lines].map(([, name, kind, labels = ""]) => ({
    ...{ name, kind },
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
  }));
  expect(documented).toEqual(definitions.map(({ name, kind, labels }) => ({ name, kind, labels })));
});

describe.skipIf(missing.length > 0)(
  `with Prometheus${missing.length > 0 ? ` (Debian package prometheus; not here: ${missing.join(", ")})` : ""}`,
  () => {
    const promtool = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: EXAMPLES, encoding: "utf8" });
      return { status, said: stdout + stderr };
    };

    test("the rules are right, and fire when they should", () => {
      expect(promtool("check", "rules", "alerts.yaml")).toMatchObject({ status: 0 });
      expect(promtool("check", "config", "prometheus.yaml")).toMatchObject({ status: 0 });
      const tested = promtool("test", "rules", "alerts.test.yaml");
      expect(tested.said).toContain("SUCCESS");
      expect(tested.status).toBe(0);
      const { groups } = parse(rules) as { groups: { rules: { alert: string }[] }[] };
      const alerts = groups.flatMap((group) => group.rules.map(({ alert }) => alert));
      const text = readFileSync(join(EXAMPLES, "alerts.test.yaml"), "utf8");
      for (const alert of alerts) expect(text).toMatch(new RegExp(`alertname: ${alert}\\n *exp_alerts:`));
    });

    test("the dashboard's questions can be asked", async () => {
      const directory = await newDirectory();
      const asked = shown.map((expr, index) => ({
        record: `shown_${index}`,
        expr: expr.replaceAll(/\$\{?__rate_interval\}?/g, "5m"),
      }));
      const file = join(directory, "shown.json");
      writeFileSync(file, JSON.stringify({ groups: [{ name: "shown", rules: asked }] }));
      const checked = promtool("check", "rules", file);
      expect(checked.said).toContain(`${shown.length} rules found`);
      expect(checked.status).toBe(0);
    });

    test("a real Prometheus scrapes the service, answers, and evaluates the rules", async () => {
      const place = await newPlace();
      const [served, port] = [await freePort(), await freePort()];
      place.configure(`{ listen: ${served} }`);
      const service = await place.service();
      service.start();
      await service.run("one");
      const directory = join(place.directory, "prometheus");
      mkdirSync(directory);
      for (const name of readdirSync(EXAMPLES)) cpSync(join(EXAMPLES, name), join(directory, name));
      const config = readFileSync(join(EXAMPLES, "prometheus.yaml"), "utf8")
        .replace("scrape_interval: 30s", "scrape_interval: 1s\n  evaluation_interval: 1s")
        .replace("127.0.0.1:9469", `127.0.0.1:${served}`);
      writeFileSync(join(directory, "prometheus.yaml"), config);
      const args = [
        `--config.file=${directory}/prometheus.yaml`,
        `--storage.tsdb.path=${directory}/data`,
        `--web.listen-address=127.0.0.1:${port}`,
      ];
      const prometheus = spawn("prometheus", args, { stdio: "ignore" });
      onTestFinished(async () => {
        prometheus.kill("SIGKILL");
        await once(prometheus, "exit");
      });
      const ask = async (path: string): Promise<unknown> => {
        const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
        return answer?.ok ? ((await answer.json()) as { data: unknown }).data : undefined;
      };
      const query = 'lancedb_backup_runs_total{outcome="success"} == 1';
      const found = await waitFor(async () => {
        const data = (await ask(`query?query=${encodeURIComponent(query)}`)) as
          | { result: unknown[] }
          | undefined;
        return data && data.result.length > 0 ? data.result : undefined;
      });
      expect(found).toEqual([
        {
          metric: {
            __name__: "lancedb_backup_runs_total",
            instance: `127.0.0.1:${served}`,
            job: "lancedb-backup",
            ...{ policy: "one", source: place.files, outcome: "success" },
          },
          value: [expect.any(Number), "1"],
        },
      ]);
      const health = await waitFor(async () => {
        const data = (await ask("rules")) as { groups: { rules: { health: string }[] }[] } | undefined;
        const states = data?.groups.flatMap((group) => group.rules.map((rule) => rule.health)) ?? [];
        return states.length > 0 && !states.includes("unknown") ? states : undefined;
      });
      expect(new Set(health)).toEqual(new Set(["ok"]));
      const { alerts } = (await ask("alerts")) as { alerts: { state: string }[] };
      expect(alerts.filter(({ state }) => state === "firing")).toEqual([]);
    });
  },
);
