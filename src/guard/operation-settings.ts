import type { LockSet } from "../lance/lock/lock-set.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { Strategy, StrategyContext } from "./strategies/strategy.ts";

export interface OperationSettings {
  readonly context: StrategyContext & { readonly lancedb: LanceDB };
  readonly strategy: Strategy;
  readonly kind: "guarded" | "explicit";
  readonly locks: LockSet;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
  readonly durable?: boolean | undefined;
}
