/** Who listens to named events. What they are told of is done: what they do wrong undoes nothing, and nobody waits for them. */
export class Listeners<Events extends object> {
  readonly #names: readonly string[];
  /** Each `on` has its own box: the same function may listen twice. */
  readonly #boxes = new Set<{ readonly name: string; readonly listener: (event: never) => unknown }>();

  /** @param names of all events that there are. */
  constructor(names: Readonly<Record<keyof Events, true>>) {
    this.#names = Object.keys(names);
  }

  /** Answers with the function that ends it. @throws TypeError */
  on<N extends keyof Events & string>(name: N, listener: (event: Events[N]) => unknown): () => void {
    if (!this.#names.includes(name)) {
      const names = this.#names.join(", ");
      throw new TypeError(`There is no event ${JSON.stringify(name)}: there are ${names}.`);
    }
    if (typeof listener !== "function") throw new TypeError("listener must be a function.");
    const box = { name, listener };
    this.#boxes.add(box);
    return () => void this.#boxes.delete(box);
  }

  /** Whether it is worth to find out what an event says. */
  isHeard(name: keyof Events): boolean {
    return [...this.#boxes].some((box) => box.name === name);
  }

  /** @param failed gets what a listener throws, or rejects with. */
  tell<N extends keyof Events & string>(
    name: N,
    event: Events[N],
    failed: (thrown: unknown, name: N) => void,
  ): void {
    const fail = (thrown: unknown) => failed(thrown, name);
    for (const box of [...this.#boxes]) {
      if (box.name !== name) continue;
      try {
        Promise.resolve(box.listener(event as never)).catch(fail);
      } catch (thrown) {
        fail(thrown);
      }
    }
  }
}
