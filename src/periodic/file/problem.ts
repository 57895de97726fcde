import { Problem } from "../../arrow/problem.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import { isError } from "../../fs/io.ts";

/** Runs `task`; what it finds wrong comes out as a `CorruptError` that names the file and the place. */
export function locating<T>(path: string, place: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!isProblem(error)) throw error;
    throw new CorruptError(
      `${path} is damaged, or was not written by this package: ${place}: ${error.message}`,
      {
        path,
        cause: error,
      },
    );
  }
}

/** Runs `task` on what a caller gave; what it finds wrong comes out as a `ValidationError`. */
export function validating<T>(what: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!isProblem(error)) throw error;
    throw new ValidationError(`${what}: ${error.message}`, { cause: error });
  }
}

/** RangeErrors come from reads beyond a buffer, so also from Node's own realm; SyntaxErrors from JSON; a ValidationError from a name. */
function isProblem(error: unknown): error is Error {
  return (
    error instanceof Problem ||
    (isError(error) && error.name === "RangeError") ||
    error instanceof SyntaxError ||
    error instanceof ValidationError
  );
}
