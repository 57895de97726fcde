import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpanStatusCode, trace } from "@opentelemetry/api";
import { afterEach, beforeAll, expect, test } from "vitest";
import { Repository, ValidationError } from "../../src/repository/index.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { collectSpans } from "../support/otel.ts";
import { PlainSource } from "../support/plain-source.ts";

// In a process of its own, as each test file: what is registered here no other test sees.

let spans: ReturnType<typeof collectSpans>;
beforeAll(() => {
  spans = collectSpans();
});
afterEach(() => spans.reset());

async function newPlace() {
  const directory = await newDirectory();
  const files = await newDirectory();
  writeFileSync(join(files, "a.txt"), "first");
  const { logger } = recordingLogger();
  const repository = await Repository.init(join(directory, "vault"), { logger });
  return { directory, files, repository, source: new PlainSource(files) };
}

const finished = () =>
  spans.getFinishedSpans().map(({ name, attributes, status }) => ({ name, attributes, code: status.code }));

test("backup, restore, verify and prune are a span each, with what they came to", async () => {
  const { directory, repository, files: place } = await newPlace();
  const snapshot = await repository.backup({ source: place });
  const target = join(directory, "back");
  await repository.restore(snapshot.id, { target });
  await repository.verify(snapshot.id);
  await repository.prune({ keepLast: 1 });
  const { location } = repository;
  const code = SpanStatusCode.UNSET;
  const with_ = (name: string, attributes: Record<string, unknown>) => ({
    name,
    code,
    attributes: Object.fromEntries(
      Object.entries({ repository: location, outcome: "success", ...attributes }).map(([key, value]) => [
        `lancedb_backup.${key}`,
        value,
      ]),
    ),
  });
  const { id, files, bytes, newBytes } = snapshot;
  expect(finished()).toEqual([
    with_("backup", {
      sources: [place],
      kind: "incremental",
      ...{ snapshot: id, files, bytes, new_bytes: newBytes },
    }),
    with_("restore", { snapshot: id, targets: [target], files: 1, bytes: 5 }),
    with_("verify", { snapshot: id, restore_test: false, failed_checks: 0 }),
    with_("prune", { removed_snapshots: 0, freed_bytes: 0 }),
  ]);
});

test("a failure is told by the span, and is the one that the caller gets", async () => {
  const { repository } = await newPlace();
  const error = await repository.backup({ source: "/there/is/none" }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ValidationError);
  const [span] = spans.getFinishedSpans();
  expect(span).toMatchObject({
    name: "backup",
    status: { code: SpanStatusCode.ERROR, message: (error as Error).message },
    attributes: { "lancedb_backup.outcome": "failure" },
    events: [{ name: "exception" }],
  });
});

test("what was aborted is no error", async () => {
  const { repository, source } = await newPlace();
  await expect(repository.backup({ source, signal: AbortSignal.abort() })).rejects.toThrow();
  expect(finished()).toMatchObject([
    { code: SpanStatusCode.UNSET, attributes: { "lancedb_backup.outcome": "aborted" } },
  ]);
});

test("spans lie below the application's, and above those of what the work calls", async () => {
  const { repository, source, files } = await newPlace();
  const tracer = trace.getTracer("the application");
  const seen = new PlainSource(files);
  seen.capture = (request) =>
    tracer.startActiveSpan("inside", async (span) => {
      span.end();
      return source.capture(request);
    });
  await tracer.startActiveSpan("outside", async (span) => {
    await repository.backup({ source: seen });
    span.end();
  });
  const named = new Map(spans.getFinishedSpans().map((span) => [span.name, span]));
  const parent = (name: string) => named.get(name)?.parentSpanContext?.spanId;
  const id = (name: string) => named.get(name)?.spanContext().spanId;
  expect(parent("backup")).toBe(id("outside"));
  expect(parent("inside")).toBe(id("backup"));
});

test("no attribute holds a password", async () => {
  const { repository } = await newPlace();
  await expect(
    repository.backup({ source: "postgresql://me:hidden-word@127.0.0.1:1/none?password=hidden-word" }),
  ).rejects.toThrow();
  expect(JSON.stringify(finished())).toContain("postgresql://");
  const told = spans
    .getFinishedSpans()
    .map(({ attributes, events, status }) => ({ attributes, events, status }));
  expect(JSON.stringify(told)).not.toContain("hidden-word");
});
