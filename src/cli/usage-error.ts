/** The command was called wrongly, or not confirmed; what the message says is all there is to say. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** Somebody was asked and said no. */
export class Declined extends Error {
  constructor() {
    super("Nothing was done.");
    this.name = "Declined";
  }
}
