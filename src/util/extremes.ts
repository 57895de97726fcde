/** The highest of numbers, however many: as arguments of `Math.max` some 100,000 of them end in a RangeError. @param floor no less than this. */
export function highestOf(floor: number, values: Iterable<number>): number {
  let highest = floor;
  for (const value of values) if (value > highest) highest = value;
  return highest;
}

/** The lowest of numbers, however many. @param ceiling no more than this. */
export function lowestOf(ceiling: number, values: Iterable<number>): number {
  let lowest = ceiling;
  for (const value of values) if (value < lowest) lowest = value;
  return lowest;
}
