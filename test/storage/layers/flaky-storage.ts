import type { Storage } from "../../../src/storage/storage.ts";
import { type Call, type Fault, FaultyStorage } from "../../support/faulty-storage.ts";

/** As `FaultyStorage`; and says of its faults that they pass. */
export class FlakyStorage extends FaultyStorage {
  /** @param plan what becomes of a call, and how often there was one before of that method and name */
  constructor(inner: Storage, plan: (call: Call, before: number) => Fault | undefined) {
    const seen = new Map<string, number>();
    super(inner, (call) => {
      const key = `${call.method} ${call.name}`;
      const before = seen.get(key) ?? 0;
      seen.set(key, before + 1);
      return plan(call, before);
    });
  }

  isTransient(error: unknown): boolean {
    return error instanceof Error && "errno" in error && error.errno === "EIO";
  }
}

export async function gather<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
