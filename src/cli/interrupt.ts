import { EXIT } from "./exit-codes.ts";

/** The reason of the signal when somebody pressed Ctrl-C, or asked the process to end. */
export class Interrupted extends Error {
  constructor() {
    super("It was interrupted.");
    this.name = "Interrupted";
  }
}

/** The two things that it wants of a screen. */
interface Teller {
  line(text: string): void;
  status(text: string): void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * The first Ctrl-C lets the work stop at a place where nothing is half-made; the second one leaves at once, and the
 * library's next call sorts out what is left.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #screen: Teller;
  #state = "";
  #leftBehind = "";
  #isStoppable = true;

  constructor(screen: Teller) {
    this.#screen = screen;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What state things are in when the work stops now; said with "Interrupted". */
  get state(): string {
    return this.#state;
  }

  /**
   * Says for the work that begins now what state things are in when it is stopped.
   *
   * @param options.isStoppable false: it goes on to its end, and leaving at once is the only way out.
   * @param options.leftBehind what lies about after leaving at once.
   */
  describe(
    state: string,
    options: { readonly isStoppable?: boolean; readonly leftBehind?: string } = {},
  ): void {
    this.#state = state;
    this.#isStoppable = options.isStoppable ?? true;
    this.#leftBehind = options.leftBehind ?? "";
  }

  listen(): void {
    for (const signal of SIGNALS) process.on(signal, this.request);
  }

  unlisten(): void {
    for (const signal of SIGNALS) process.off(signal, this.request);
  }

  readonly request = (): void => {
    if (this.signal.aborted) {
      this.#screen.status("");
      this.#screen.line(["Left at once.", this.#state, this.#leftBehind].filter(Boolean).join(" "));
      process.exit(EXIT.interrupted);
    }
    this.#screen.line(
      this.#isStoppable
        ? "Stopping. Press Ctrl-C again to leave at once."
        : "This cannot stop half-way and goes on to its end. Press Ctrl-C again to leave at once.",
    );
    this.#controller.abort(new Interrupted());
  };
}
