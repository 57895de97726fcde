import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { newBackupMetrics } from "../../../src/policy/metrics/metric-definitions.ts";
import { MetricRegistry } from "../../../src/policy/metrics/metric-registry.ts";
import { prometheusText, samplesOfText } from "../../../src/policy/metrics/prometheus-text.ts";
import { missingPrograms } from "../../support/programs.ts";

const small = () =>
  new MetricRegistry({
    asked_total: { kind: "counter", help: "Asked,\nback\\slash.", labels: ["who"] },
    depth: { kind: "gauge", help: "How deep.", labels: [] },
    unused: { kind: "gauge", help: "Never.", labels: [] },
  });

test("a metric has its help, its type and a line for each of its labels' values", () => {
  const registry = small();
  registry.add("asked_total", { who: "you" });
  registry.add("asked_total", { who: "you" }, 2);
  registry.add("asked_total", { who: 'a "b" \\ c\nd' }, 0);
  registry.set("depth", {}, 1.5e21);
  expect(prometheusText(registry)).toBe(
    `# HELP asked_total Asked,\\nback\\\\slash.
# TYPE asked_total counter
asked_total{who="you"} 3
asked_total{who="a \\"b\\" \\\\ c\\nd"} 0
# HELP depth How deep.
# TYPE depth gauge
depth 1.5e+21
`,
  );
});

test("what is not known any more has no line", () => {
  const registry = small();
  registry.set("depth", {}, 4);
  registry.set("depth", {}, undefined);
  expect(prometheusText(registry)).toBe("");
  expect(() => registry.set("height" as never, {}, 1)).toThrow(TypeError);
});

test("what is no number is told as Prometheus writes it", () => {
  for (const [value, text] of [
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "+Inf"],
    [Number.NEGATIVE_INFINITY, "-Inf"],
  ] as const) {
    const registry = small();
    registry.set("depth", {}, value);
    expect(prometheusText(registry)).toContain(`\ndepth ${text}\n`);
  }
});

const HOSTILE = [
  '"',
  "\\",
  "\n",
  "\r",
  "\0",
  ",",
  "}",
  "{",
  " ",
  "=",
  "a",
  "n",
  "é",
  "😀",
  "\u2028",
  "\ud800",
];

test("every label comes back from the text as it was", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...HOSTILE), { maxLength: 12 }).map((parts) => parts.join("")),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      (who, value) => {
        const registry = small();
        registry.set("asked_total", { who }, value);
        const [sample, ...others] = samplesOfText(prometheusText(registry));
        expect(others).toEqual([]);
        expect(sample).toEqual({
          name: "asked_total",
          labels: { who: who.toWellFormed() },
          value: value + 0,
        });
      },
    ),
    { numRuns: 500 },
  );
});

test("lines that are no samples are passed over", () => {
  expect(samplesOfText('nonsense\n{}\nx{ 1\na{b="c} 1\n# TYPE x\nx 1\n\0')).toEqual([
    { name: "x", labels: {}, value: 1 },
  ]);
});

const missing = missingPrograms(["promtool"]);

test.skipIf(missing.length > 0)("promtool finds nothing to complain of (Debian package prometheus)", () => {
  const registry = newBackupMetrics();
  for (const { name, labels } of registry.families()) {
    const values = Object.fromEntries(labels.map((label) => [label, 'hostile "value"\n\\']));
    registry.set(name as Parameters<typeof registry.set>[0], values, 7);
  }
  const checked = spawnSync("promtool", ["check", "metrics"], {
    input: prometheusText(registry),
    encoding: "utf8",
  });
  expect(checked.stdout + checked.stderr).toBe("");
  expect(checked.status).toBe(0);
});
