import type { Labels, MetricFamily } from "./metric-registry.ts";

// The shape of OpenTelemetry's Meter, as far as it is used: users of the package without OpenTelemetry have no types of it.

interface Observing {
  observe(value: number, attributes?: Labels): void;
}

interface Observed {
  addCallback(callback: (result: Observing) => void): void;
  removeCallback(callback: (result: Observing) => void): void;
}

interface InstrumentOptions {
  readonly description: string;
  readonly unit?: string;
}

/** An OpenTelemetry Meter, of the application's provider. */
export interface Meter {
  createObservableCounter(name: string, options: InstrumentOptions): Observed;
  createObservableGauge(name: string, options: InstrumentOptions): Observed;
}

interface Source {
  families(): readonly MetricFamily[];
  family(name: string): MetricFamily;
}

/** Makes an instrument for each metric, by which a collection reads it. Answers with the function that ends that. */
export function bindMeter(registry: Source, meter: Meter): () => void {
  const ends = registry.families().map(({ name, kind, help: description, unit }) => {
    const options = { description, ...(unit && { unit }) };
    const instrument =
      kind === "counter"
        ? meter.createObservableCounter(name, options)
        : meter.createObservableGauge(name, options);
    const read = (result: Observing) => {
      for (const { labels, value } of registry.family(name).samples) result.observe(value, labels);
    };
    instrument.addCallback(read);
    return () => instrument.removeCallback(read);
  });
  return () => {
    for (const end of ends) end();
  };
}

/** @throws TypeError */
export function assertMeter(value: unknown): asserts value is Meter | undefined {
  if (value === undefined) return;
  const methods = ["createObservableCounter", "createObservableGauge"];
  const isMeter =
    typeof value === "object" &&
    value !== null &&
    methods.every((method) => typeof Reflect.get(value, method) === "function");
  if (!isMeter) throw new TypeError("meter must be a Meter of @opentelemetry/api.");
}
