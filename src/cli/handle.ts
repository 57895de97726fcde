import { Command } from "commander";
import { withLocalTimes } from "../util/format.ts";
import type { Answer, Context, GlobalOptions } from "./context.ts";
import { EXIT } from "./exit-codes.ts";
import { failureOf, traceOf } from "./failure.ts";
import { Interrupt } from "./interrupt.ts";
import { formatJson } from "./output/json.ts";
import { screenLogger } from "./output/log.ts";
import { Screen } from "./output/screen.ts";
import { terminalOf } from "./output/terminal.ts";
import { tellIfLost } from "./output/unwritable.ts";

type Run = (context: Context, ...args: never[]) => Promise<Answer>;

/**
 * Makes a function into a command's action: it gets the context, the arguments and the options, and its answer is
 * printed; or what went wrong, in a line. Sets the exit code.
 */
export function handle(run: Run): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    const command = args.pop();
    if (!(command instanceof Command)) throw new TypeError("An action must be called by its command.");
    const context = contextOf(command.optsWithGlobals<GlobalOptions>());
    const { options, interrupt } = context;
    interrupt.listen();
    context.logger.debug("begin", { command: command.name(), pid: process.pid });
    try {
      const answer = await (run as (...args: unknown[]) => Promise<Answer>)(context, ...args);
      context.screen.status("");
      const text = options.json ? formatJson(answer.json) : answer.text;
      tellIfLost(answer.done ?? "");
      if (text !== "") print(text);
      process.exitCode = answer.exitCode ?? EXIT.done;
    } catch (error) {
      context.screen.status("");
      fail(error, options, context.screen, interrupt.state);
    } finally {
      interrupt.unlisten();
    }
  };
}

function contextOf(options: GlobalOptions): Context {
  const { env } = process;
  const screen = screenOf(options);
  const interrupt = new Interrupt(screen);
  return {
    options,
    terminal: terminalOf(process.stdout, env, options),
    screen,
    logger: screenLogger(screen, options.verbose ?? false),
    interrupt,
    signal: interrupt.signal,
    env,
  };
}

export function screenOf(options: Pick<GlobalOptions, "color">): Screen {
  return new Screen(process.stderr, terminalOf(process.stderr, process.env, options));
}

/** Says what went wrong on standard error; with `--json` also, as the one value, on standard output. */
export function fail(
  error: unknown,
  options: Pick<GlobalOptions, "json" | "verbose">,
  screen: Screen,
  state = "",
): void {
  const { exitCode, code, message, hints } = failureOf(error, state);
  const label = exitCode === EXIT.interrupted || code === "DECLINED" ? "" : "error: ";
  screen.line(`${label === "" ? "" : screen.terminal.style("red", label)}${withLocalTimes(message)}`);
  if (options.verbose) screen.line(traceOf(error));
  if (options.json) print(formatJson({ error: { code, message, hints } }));
  process.exitCode = exitCode;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
