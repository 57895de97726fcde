import { spawn } from "node:child_process";
import { join } from "node:path";

/** The built command. `LANCEDB_BACKUP_CLI` names another build of it. */
export const MAIN = process.env["LANCEDB_BACKUP_CLI"] ?? join(import.meta.dirname, "../../dist/cli/main.js");

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Whose process it is. */
  readonly uid?: number;
  /** Called with all that was written so far, and a function that sends a signal. */
  readonly onOutput?: (written: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** Runs the command as a script would: no terminal, a clean environment. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return start(process.execPath, [MAIN, ...args], options);
}

/** The same, and what it printed with `--json` as a value. */
export async function runJson<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const ran = await run([...args, "--json"], options);
  if (ran.code !== 0) throw new Error(`exit code ${ran.code}: ${ran.stdout}${ran.stderr}`);
  return JSON.parse(ran.stdout) as T;
}

export interface TerminalOptions extends RunOptions {
  readonly columns?: number;
  /** Whether the terminal shows what is typed, unless the program forbids it. Default false. */
  readonly echo?: boolean;
  /** What is typed, a piece each time that the text before it appears: `[["[y/N]", "y\n"]]`. */
  readonly type?: readonly (readonly [appears: string, typed: string])[];
}

/** Runs it on a pseudo-terminal (util-linux's `script`). Both outputs come as one, as they would be seen. */
export function runOnTerminal(args: readonly string[], options: TerminalOptions = {}): Promise<Ran> {
  const words = [process.execPath, MAIN, ...args].map(quote).join(" ");
  const command = `stty cols ${options.columns ?? 100} rows 40 ${options.echo ? "" : "-"}echo; exec ${words}`;
  return start("script", ["-qefc", command, "/dev/null"], options, options.type ?? []);
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function start(
  program: string,
  args: readonly string[],
  { cwd, env, uid, onOutput }: RunOptions,
  type: readonly (readonly [string, string])[] = [],
): Promise<Ran> {
  const { LANCEDB_BACKUP_REPO: _repo, NO_COLOR: _color, FORCE_COLOR: _force, ...inherited } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      ...(uid !== undefined && { uid }),
      env: { ...inherited, TERM: "xterm", ...env },
    });
    let stdout = "";
    let stderr = "";
    const waiting = [...type];
    let seen = 0;
    const heard = () => {
      const written = stdout + stderr;
      const [next] = waiting;
      const at = next ? written.indexOf(next[0], seen) : -1;
      if (next && at >= 0) {
        seen = at + next[0].length;
        waiting.shift();
        child.stdin.write(next[1]);
      }
      onOutput?.(written, (signal) => child.kill(signal));
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      heard();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      heard();
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    if (type.length === 0) child.stdin.end();
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are told what to do by them
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** What a terminal shows, without colours and moves of the cursor. */
export function withoutEscapes(text: string): string {
  return text.replace(ESCAPES, "").replaceAll("\r\n", "\n");
}
