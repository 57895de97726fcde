import { type Sample, sampleOf } from "./measure.ts";

/** `MB`: millions of bytes. */
export type Unit = "ms" | "×" | "MB" | "%" | "requests";

/** A number that the bench measured, with its target where it has one. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: Unit;
  /** `most`: the value must not be above the limit. `least`: not below. */
  readonly target?: { readonly kind: "most" | "least"; readonly limit: number };
  /** Where it lies on a chart of growth. */
  readonly point?: { readonly series: string; readonly axis: string; readonly x: number };
  /** What it was reckoned from, in the place of the shortest and the longest run. */
  readonly madeOf?: string;
  /** What stands behind the value. */
  readonly samples: readonly Sample[];
}

export function isMet({ value, target }: Figure): boolean | undefined {
  if (!target) return undefined;
  return target.kind === "most" ? value <= target.limit : value >= target.limit;
}

export function time(what: string, sample: Sample, limit?: number): Figure {
  const target = limit === undefined ? {} : { target: { kind: "most" as const, limit } };
  return { what, value: sample.median, unit: "ms", samples: [sample], ...target };
}

/** Something other than a time, measured several times. */
export function amount(
  what: string,
  unit: Unit,
  values: readonly number[],
  target?: { kind: "most" | "least"; limit: number },
): Figure {
  const sample = sampleOf(what, values);
  return { what, value: sample.median, unit, samples: [sample], ...(target && { target }) };
}

/** How much longer, or shorter, one contender takes than another. */
export function ratio(
  what: string,
  over: Sample,
  under: Sample,
  target?: { kind: "most" | "least"; limit: number },
): Figure {
  const value = over.median / under.median;
  return { what, value, unit: "×", samples: [over, under], ...(target && { target }) };
}
