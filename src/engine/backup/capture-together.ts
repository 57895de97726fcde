import { setTimeout as sleep } from "node:timers/promises";
import { LockedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import { ToldWait } from "../../util/tell-waiting.ts";
import type { Capture, CaptureRequest, Source } from "../source-contract.ts";
import { assertCapture } from "./assert-capturable.ts";

/** Captures of several sources, of one moment. */
export interface Captures extends AsyncDisposable {
  /** Of one of the sources that were asked for. */
  of(source: Source): Capture;
}

export interface TogetherOptions {
  /** How long to wait for guarded writes to end, milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told for whom is waited. */
  readonly logger?: Logger | undefined;
}

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 50;

/**
 * Captures sources one in the other: what the first keeps still for its capture, it keeps still until the last has its
 * own. Those that keep something still come first.
 *
 * Nothing is kept still while another is waited for: guarded work that writes to several may hold that one, and wait for
 * what we would keep. So only the first is waited for, and one of those that keep still that is found in use is the first in the next turn.
 *
 * @throws LockedError after the time limit. @throws what a capture throws. Then none is left.
 */
export async function captureTogether(
  sources: readonly Source[],
  requestOf: (source: Source) => CaptureRequest,
  { timeoutMs, signal, logger }: TogetherOptions,
): Promise<Captures> {
  const deadline = performance.now() + timeoutMs;
  const told = new ToldWait(logger);
  let order = sources.toSorted((a, b) => rank(a) - rank(b) || (a.uri < b.uri ? -1 : 1));
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const turn = new Turn(order, requestOf, Math.max(0, deadline - performance.now()), logger);
    try {
      await turn.capture();
      return turn;
    } catch (error) {
      await turn[Symbol.asyncDispose]();
      const { busy } = turn;
      if (!busy || performance.now() >= deadline) throw error;
      told.turn(() => reasonOf(error));
      // One that keeps nothing still must stay within those that do, or it would be of another moment.
      if (busy.keepsStill) order = [busy, ...order.filter((source) => source !== busy)];
    }
    await sleep(pause * (0.5 + Math.random()));
    signal?.throwIfAborted();
  }
}

/** Captures in one order. */
class Turn implements Captures {
  /** Was in use, and was not waited for. */
  busy: Source | undefined;
  readonly #order: readonly Source[];
  readonly #requestOf: (source: Source) => CaptureRequest;
  readonly #timeoutMs: number;
  readonly #logger: Logger | undefined;
  readonly #captures = new Map<Source, Capture>();

  constructor(
    order: readonly Source[],
    requestOf: (source: Source) => CaptureRequest,
    timeoutMs: number,
    logger: Logger | undefined,
  ) {
    this.#order = order;
    this.#requestOf = requestOf;
    this.#timeoutMs = timeoutMs;
    this.#logger = logger;
  }

  async capture(index = 0): Promise<void> {
    const source = this.#order[index];
    if (!source) return;
    let wasCalled = false;
    const whileHeld = async () => {
      wasCalled = true;
      await this.#dispose(this.#order.slice(index + 1));
      await this.capture(index + 1);
    };
    const lockTimeoutMs = index === 0 ? this.#timeoutMs : 0;
    const request = { ...this.#requestOf(source), lockTimeoutMs, whileHeld };
    try {
      const capture = await source.capture(request);
      this.#captures.set(source, capture); // whatever it is: it may have to be released
      assertCapture(capture, source.uri);
    } catch (error) {
      if (index > 0 && error instanceof LockedError) this.busy ??= source;
      throw error;
    }
    if (!wasCalled) await this.capture(index + 1);
  }

  of(source: Source): Capture {
    const capture = this.#captures.get(source);
    if (!capture) throw new TypeError(`There is no capture of ${source.uri}.`);
    return capture;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dispose(this.#order);
  }

  /** Never throws: what was captured is as good as before, and the others must be released too. */
  async #dispose(some: readonly Source[]): Promise<void> {
    for (const source of some) {
      const capture = this.#captures.get(source);
      this.#captures.delete(source);
      try {
        await capture?.[Symbol.asyncDispose]?.();
      } catch (error) {
        const meta = { source: source.uri, reason: reasonOf(error) };
        this.#logger?.warn("a source did not release what it held for its capture", meta);
      }
    }
  }
}

function rank({ keepsStill = false }: Source): number {
  return keepsStill ? 0 : 1;
}
