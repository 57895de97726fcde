import { afterEach, expect, test, vi } from "vitest";
import { giveMemory, takeMemory } from "../../src/util/spare-memory.ts";

const BLOB_BYTES = 16 << 20;

afterEach(() => void vi.useRealTimers());

test("memory that was given back is used again, and freed when nobody takes it for a second", () => {
  vi.useFakeTimers();
  const held = () => process.memoryUsage().arrayBuffers;
  const before = held();
  const first = takeMemory(BLOB_BYTES);
  first[1] = 7;
  giveMemory(first);
  expect(first.length).toBe(0);
  const second = takeMemory(BLOB_BYTES);
  expect(second[1]).toBe(7);
  giveMemory(second);
  expect(held() - before).toBeGreaterThan(BLOB_BYTES / 2);
  vi.advanceTimersByTime(1000);
  expect(held() - before).toBeLessThan(BLOB_BYTES / 2);
});
