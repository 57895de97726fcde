import type { Table } from "apache-arrow";
import { randomNumbers } from "./random.ts";
import { vectorTable } from "./vectors.ts";

export const DIMENSIONS = 128;

/** Rows for inserts: the same for the same seed. */
export function insertRows(count: number, seed: number): Table {
  const random = randomNumbers(seed);
  const components = Float32Array.from({ length: count * DIMENSIONS }, random);
  const ids = Int32Array.from({ length: count }, (_, index) => seed * count + index);
  return vectorTable({ ids, components, dimensions: DIMENSIONS });
}
