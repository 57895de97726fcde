import { renameSync } from "node:fs";
import { SpanStatusCode } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { expect, onTestFinished, test } from "vitest";
import { newBackupMetrics } from "../../../src/policy/metrics/metric-definitions.ts";
import { collectSpans } from "../../support/otel.ts";
import { newPlace } from "./place.ts";

/** A real SDK, and what it has collected last. */
function newMeter() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
  const provider = new MeterProvider({ readers: [reader] });
  onTestFinished(() => provider.shutdown());
  const collect = async () => {
    exporter.reset();
    await provider.forceFlush();
    const metrics = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics);
    return new Map(metrics.map((metric) => [metric.descriptor.name, metric]));
  };
  return { meter: provider.getMeter("the application"), collect };
}

test("the metrics are made on the application's meter, with names, units and values as on the page", async () => {
  const place = await newPlace();
  const { meter, collect } = newMeter();
  const service = await place.service({ meter });
  const { snapshot } = await service.run("one");
  const collected = await collect();
  const points = (name: string) =>
    collected.get(name)?.dataPoints.map(({ attributes, value }) => ({ attributes, value }));
  expect(points("lancedb_backup_runs_total")).toContainEqual({
    attributes: { policy: "one", source: place.files, outcome: "success" },
    value: 1,
  });
  expect(points("lancedb_backup_size_bytes")).toEqual([
    { attributes: { policy: "one" }, value: snapshot!.bytes },
  ]);
  expect(collected.get("lancedb_backup_size_bytes")?.descriptor.unit).toBe("By");
  expect(collected.get("lancedb_backup_runs_total")).toMatchObject({ isMonotonic: true });
  const known = new Set(newBackupMetrics().names);
  expect([...collected.keys()].filter((name) => !known.has(name))).toEqual([]);
});

test("a service that was stopped tells nothing more, until it begins again", async () => {
  const place = await newPlace();
  const { meter, collect } = newMeter();
  const service = await place.service({ meter });
  const runs = async () => {
    const points = (await collect()).get("lancedb_backup_runs_total")?.dataPoints ?? [];
    return points.find(({ attributes }) => attributes["outcome"] === "success")?.value;
  };
  expect(await runs()).toBe(0);
  await service.stop();
  await service.run("one");
  expect(await runs()).not.toBe(1);
  service.start();
  expect(await runs()).toBe(1);
});

test("what is no meter is refused", async () => {
  const place = await newPlace();
  await expect(place.service({ meter: {} as never })).rejects.toThrow(TypeError);
});

test("a run is a span, above those of its backup, verification and prune; one that fails says so", async () => {
  const spans = collectSpans();
  const place = await newPlace();
  const service = await place.service();
  await service.run("one");
  const [backup, run] = spans.getFinishedSpans();
  expect([backup?.name, run?.name]).toEqual(["backup", "run"]);
  expect(backup?.parentSpanContext?.spanId).toBe(run?.spanContext().spanId);
  expect(run?.attributes).toMatchObject({
    "lancedb_backup.policy": "one",
    "lancedb_backup.type": "full",
    "lancedb_backup.outcome": "success",
  });
  spans.reset();
  renameSync(place.files, `${place.files}-away`);
  await service.run("one");
  const failed = spans.getFinishedSpans().find(({ name }) => name === "run");
  expect(failed?.status.code).toBe(SpanStatusCode.ERROR);
});
