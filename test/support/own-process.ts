import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * What a process has once: its environment, directory, user, clock and memory, its globals, the modules it has loaded.
 * Tests that change or measure any of it want a process of their own; all others share some.
 */
const OF_THE_PROCESS = [
  /process\.env\[[^\]]+\] (\?\?|\|\|)?=[^=]|delete process\.env/,
  /\bprocess\.(chdir|umask|set(e?[ug]id|groups)|on|once|emit|memoryUsage|cpuUsage|resourceUsage)(?:\?\.)?\(/,
  /\bvi\.(mock|doMock|hoisted|resetModules|spyOn|stub|useFake)/,
  /\bsetGlobal(TracerProvider|ContextManager|MeterProvider)\(/,
  /syncBuiltinESMExports|Reflect\.set\((fs|promises)\b|\/proc\/self/,
];

const IMPORT = /^(?:import|export)(?! type\b)[^;]*?"(\.[^"]+\.ts)";|\bimport\("(\.[^"]+\.ts)"\)/gm;

const known = new Map<string, boolean>();

/** Whether a test, or what it imports of `test/`, changes or measures the process that it runs in. */
export function wantsOwnProcess(path: string): boolean {
  const before = known.get(path);
  if (before !== undefined) return before;
  known.set(path, false); // for imports in a circle
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const imports = [...text.matchAll(IMPORT)]
    .map(([, named, later]) => join(dirname(path), named ?? later ?? ""))
    .filter((imported) => imported.includes("/test/"));
  // Hooks of a module that several tests import are the first one's alone where they share it.
  const hasHooks = !path.endsWith(".test.ts") && /^(before|after)(All|Each)\(/m.test(text);
  const wants =
    hasHooks || OF_THE_PROCESS.some((pattern) => pattern.test(text)) || imports.some(wantsOwnProcess);
  known.set(path, wants);
  return wants;
}
