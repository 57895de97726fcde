import type { Logger } from "../../src/logger.ts";

const nothing = () => undefined;
export const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
