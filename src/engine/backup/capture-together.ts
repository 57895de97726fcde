import type { Capture, CaptureRequest, Source } from "../source.ts";

/** Captures of several sources, of one moment. */
export interface Captures extends AsyncDisposable {
  /** Of one of the sources that were asked for. */
  of(source: Source): Capture;
}

/**
 * Captures sources one in the other: what the first keeps still for its capture, it keeps still until the last has its
 * own. Those that keep something still come first, by their places, so that two that do this at once do not wait for each other.
 */
export async function captureTogether(
  sources: readonly Source[],
  requestOf: (source: Source) => CaptureRequest,
): Promise<Captures> {
  const order = sources.toSorted((a, b) => rank(a) - rank(b) || (a.uri < b.uri ? -1 : 1));
  const captures = new Map<Source, Capture>();
  const dispose = async (some: readonly Source[]) => {
    for (const source of some) {
      const capture = captures.get(source);
      captures.delete(source);
      await capture?.[Symbol.asyncDispose]();
    }
  };
  const captureFrom = async (index: number): Promise<void> => {
    const source = order[index];
    if (!source) return;
    let wasCalled = false;
    const whileHeld = async () => {
      wasCalled = true;
      await dispose(order.slice(index + 1));
      await captureFrom(index + 1);
    };
    captures.set(source, await source.capture({ ...requestOf(source), whileHeld }));
    if (!wasCalled) await captureFrom(index + 1);
  };
  try {
    await captureFrom(0);
  } catch (error) {
    await dispose(order);
    throw error;
  }
  return {
    of(source) {
      const capture = captures.get(source);
      if (!capture) throw new TypeError(`There is no capture of ${source.uri}.`);
      return capture;
    },
    [Symbol.asyncDispose]: () => dispose(order),
  };
}

function rank({ keepsStill = false }: Source): number {
  return keepsStill ? 0 : 1;
}
