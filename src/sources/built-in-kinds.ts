import { type LazyKind, registerLazily } from "../engine/source-kind.ts";

/**
 * The kinds of this package besides LanceDB: none is loaded before one of its sources or parts is met. `identify` says what the
 * source's own `id` says.
 */
const BUILT_IN: readonly LazyKind[] = [];

/** Makes them known. Can be done twice. */
export function registerBuiltInKinds(): void {
  for (const kind of BUILT_IN) registerLazily(kind);
}
