import { homedir } from "node:os";
import { join } from "node:path";
import { isError } from "./io.ts";

/** Where a system has what a user's programs keep, below the home directory, and which variable says otherwise. */
const PLACES = {
  cache: {
    variable: { other: "XDG_CACHE_HOME", win32: "LOCALAPPDATA" },
    below: { other: [".cache"], win32: ["AppData", "Local"], darwin: ["Library", "Caches"] },
    within: { other: [], win32: [] },
  },
  state: {
    variable: { other: "XDG_STATE_HOME", win32: "LOCALAPPDATA" },
    below: {
      other: [".local", "state"],
      win32: ["AppData", "Local"],
      darwin: ["Library", "Application Support"],
    },
    // Beside the cache.
    within: { other: [], win32: ["state"] },
  },
} as const;

/**
 * The directory of this name that a user's programs keep what can be had again in (`cache`), or what they must know after a
 * restart (`state`). Undefined where the user has no home, as in a container.
 */
export function userDirectory(
  what: keyof typeof PLACES,
  name: string,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  const { variable, below, within } = PLACES[what];
  const isWindows = platform === "win32";
  const path = [name, ...within[isWindows ? "win32" : "other"]];
  const named = env[variable[isWindows ? "win32" : "other"]];
  // A path that is relative is to be ignored, as XDG's specification says.
  if (named && platform !== "darwin" && (isWindows || named.startsWith("/"))) return join(named, ...path);
  const home = homeOf(env);
  const system = isWindows || platform === "darwin" ? platform : "other";
  return home && join(home, ...below[system], ...path);
}

function homeOf(env: NodeJS.ProcessEnv): string | undefined {
  if (env["HOME"]?.startsWith("/")) return env["HOME"];
  try {
    return homedir();
  } catch (error) {
    if (isError(error)) return undefined;
    throw error;
  }
}
