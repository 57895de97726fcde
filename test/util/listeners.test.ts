import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { abortable, waitAtMost } from "../../src/util/abortable.ts";
import { Listeners } from "../../src/util/listeners.ts";

interface Events {
  readonly one: number;
  readonly other: string;
}

const listeners = () => new Listeners<Events>({ one: true, other: true });
const never = (thrown: unknown) => {
  throw thrown;
};

test("each hears of its own event, as often as it listens, until it ends that", () => {
  const heard: unknown[] = [];
  const listener = (event: unknown) => void heard.push(event);
  const some = listeners();
  const ends = [some.on("one", listener), some.on("one", listener), some.on("other", listener)];
  some.tell("one", 1, never);
  ends[0]!();
  some.tell("one", 2, never);
  some.tell("other", "x", never);
  expect(heard).toEqual([1, 1, 2, "x"]);
  expect([some.isHeard("one"), some.isHeard("other")]).toEqual([true, true]);
  for (const end of ends) end();
  expect([some.isHeard("one"), some.isHeard("other")]).toEqual([false, false]);
});

test("what one throws, or rejects with, keeps nothing from the others", async () => {
  const some = listeners();
  const heard: number[] = [];
  const failures: unknown[] = [];
  some.on("one", () => {
    throw "at once";
  });
  some.on("one", () => Promise.reject("later"));
  some.on("one", (event) => void heard.push(event));
  const rejected = new Promise<void>((resolve) => {
    some.tell("one", 7, (thrown, name) => {
      failures.push([thrown, name]);
      if (thrown === "later") resolve();
    });
  });
  expect(heard).toEqual([7]);
  await rejected;
  expect(failures).toEqual([
    ["at once", "one"],
    ["later", "one"],
  ]);
});

test("one that listens while an event is told hears of the next", () => {
  const some = listeners();
  const heard: number[] = [];
  some.on("one", () => some.on("one", (event) => void heard.push(event)));
  some.tell("one", 1, never);
  expect(heard).toEqual([]);
  some.tell("one", 2, never);
  expect(heard).toEqual([2]);
});

test("an event that there is not, and what is no function, are refused", () => {
  const some = listeners();
  expect(() => some.on("two" as never, () => 0)).toThrow(
    new TypeError('There is no event "two": there are one, other.'),
  );
  expect(() => some.on("one", 7 as never)).toThrow(TypeError);
});

test("a wait leaves no listener on a signal that lives long, however it ends", async () => {
  const { signal } = new AbortController();
  await waitAtMost(Promise.resolve(), 60_000, signal);
  await waitAtMost(new Promise(() => undefined), 1, signal);
  await expect(waitAtMost(Promise.reject(new Error("failed")), 60_000, signal)).rejects.toThrow("failed");
  await abortable(async () => undefined, signal);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
