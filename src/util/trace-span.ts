import type * as Api from "@opentelemetry/api";
import { reasonOf } from "../thrown.ts";
import { manifest } from "./build-facts.ts";
import { isNotInstalled } from "./not-installed.ts";

// Traces by OpenTelemetry's API, where the application has it. What collects them is the application's.

/** What a span tells. What is undefined is left out. */
export type SpanAttributes = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** What work may say of itself, for its span. */
export interface WorkSpan {
  /** Keys get the prefix `lancedb_backup.`. */
  set(attributes: SpanAttributes): void;
  /** Of work that has failed and throws nothing. */
  fail(error: unknown): void;
}

export interface SpanOptions {
  readonly attributes: SpanAttributes;
  /** What the work throws after it was aborted is no failure. */
  readonly signal?: AbortSignal | undefined;
}

const UNSEEN: WorkSpan = { set: () => undefined, fail: () => undefined };

let loading: Promise<typeof Api | undefined> | undefined;

/**
 * Runs work in a span of the tracer `lancedb-backup`, active meanwhile: what the work asks of others that make spans lies below it.
 * Without `@opentelemetry/api`, or a provider that the application has registered with it, the work only runs.
 *
 * @throws what the work throws; the span tells it.
 */
export async function withSpan<T>(
  name: string,
  { attributes, signal }: SpanOptions,
  work: (span: WorkSpan) => Promise<T>,
): Promise<T> {
  loading ??= loadApi();
  const api = await loading;
  if (!api) return work(UNSEEN);
  const tracer = api.trace.getTracer("lancedb-backup", manifest.version);
  return tracer.startActiveSpan(name, { attributes: named(attributes) }, async (span) => {
    const told: WorkSpan = {
      set: (more) => void span.setAttributes(named(more)),
      fail: (error) => {
        span.recordException(typeof error === "object" && error !== null ? (error as Error) : String(error));
        span.setStatus({ code: api.SpanStatusCode.ERROR, message: reasonOf(error) });
      },
    };
    try {
      return await work(told);
    } catch (error) {
      if (!signal?.aborted) told.fail(error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Undefined where it is not installed: then nobody can have registered anything with it. One that is broken breaks no backup. */
async function loadApi(): Promise<typeof Api | undefined> {
  try {
    return await import("@opentelemetry/api");
  } catch (error) {
    if (!isNotInstalled(error)) {
      process.emitWarning(`No traces are written: @opentelemetry/api cannot be loaded. ${reasonOf(error)}`);
    }
    return undefined;
  }
}

function named(attributes: SpanAttributes): Api.Attributes {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([key, value]) => [`lancedb_backup.${key}`, value])) as Api.Attributes;
}
