/** Label values by their names, in the order of the metric's definition. */
export type Labels = Readonly<Record<string, string>>;

/** What a metric is. */
export interface MetricDefinition {
  /** A counter grows from 0 while the process runs; a gauge is what is now. */
  readonly kind: "counter" | "gauge";
  /** In a sentence. */
  readonly help: string;
  readonly labels: readonly string[];
  /** By the Unified Code for Units of Measure, as OpenTelemetry wants it. Default: a number of things. */
  readonly unit?: "s" | "By" | undefined;
}

export interface MetricSample {
  readonly labels: Labels;
  readonly value: number;
}

/** A metric with what it is at now. */
export interface MetricFamily extends MetricDefinition {
  readonly name: string;
  readonly samples: readonly MetricSample[];
}

interface Kept extends MetricDefinition {
  readonly samples: Map<string, MetricSample>;
  computed: (() => Iterable<MetricSample>) | undefined;
}

/** Metrics of known names, and their values. What reads it (a page, OpenTelemetry) keeps none of its own. */
export class MetricRegistry<Name extends string = string> {
  readonly #metrics: ReadonlyMap<string, Kept>;

  constructor(definitions: Readonly<Record<Name, MetricDefinition>>) {
    const entries = Object.entries<MetricDefinition>(definitions);
    this.#metrics = new Map(
      entries.map(([name, definition]) => [name, { ...definition, samples: new Map(), computed: undefined }]),
    );
  }

  get names(): readonly string[] {
    return [...this.#metrics.keys()];
  }

  /** Counts on. With 0 the sample is there from the beginning: a rate can tell the first time from none. */
  add(name: Name, labels: Labels, by = 1): void {
    const { samples } = this.#metric(name);
    const key = keyOf(labels);
    samples.set(key, { labels, value: (samples.get(key)?.value ?? 0) + by });
  }

  /** @param value undefined: it is not known any more. */
  set(name: Name, labels: Labels, value: number | undefined): void {
    const { samples } = this.#metric(name);
    if (value === undefined) samples.delete(keyOf(labels));
    else samples.set(keyOf(labels), { labels, value });
  }

  /** Has a metric's samples found out each time that they are read. */
  compute(name: Name, samples: () => Iterable<MetricSample>): void {
    this.#metric(name).computed = samples;
  }

  /** One metric as it is now. */
  family(name: Name): MetricFamily {
    const { kind, help, labels, unit, samples, computed } = this.#metric(name);
    return { name, kind, help, labels, unit, samples: [...(computed?.() ?? samples.values())] };
  }

  /** All metrics as they are now, in the order of their definitions. */
  families(): MetricFamily[] {
    return [...this.#metrics.keys()].map((name) => this.family(name as Name));
  }

  #metric(name: Name): Kept {
    const metric = this.#metrics.get(name);
    if (!metric) throw new TypeError(`There is no metric ${JSON.stringify(name)}.`);
    return metric;
  }
}

const keyOf = (labels: Labels) => JSON.stringify(Object.entries(labels));
