import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { reasonOf } from "../fs/io.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A text whose placeholders are filled in. What could not be is a problem each, which never holds a value. */
export interface Filled {
  readonly text: string;
  readonly isFilled: boolean;
  readonly problems: readonly string[];
}

const PLACEHOLDER = /\$(\$(?=\{)|\{([^}]*)\})/g;

const MOST_BYTES = 64 * 1024;

/**
 * Fills in `${NAME}` from the environment, `${NAME:-otherwise}`, `${file:/run/secrets/x}` with the content of a file, and
 * `${credential:name}` with a systemd credential; `$${` stands for `${`. A newline at the end of a file is not of its content. What
 * is filled in is not looked at again.
 */
export function fillIn(text: string, env: Environment): Filled {
  const problems: string[] = [];
  let isFilled = false;
  const filled = text.replace(PLACEHOLDER, (whole: string, _rest: string, name: string | undefined) => {
    if (name === undefined) return "$";
    isFilled = true;
    const value = contentOf(name, env);
    if (typeof value === "string") return value;
    problems.push(value.problem);
    return whole;
  });
  return { text: filled, isFilled, problems };
}

function contentOf(name: string, env: Environment): string | { readonly problem: string } {
  const [, scheme, rest = ""] = /^(file|credential):(.*)$/s.exec(name) ?? [];
  if (scheme === "file") return fromFile(rest);
  if (scheme === "credential") return fromCredential(rest, env);
  const [, variable, otherwise] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(name) ?? [];
  if (variable === undefined) {
    return {
      problem: `\${${name}} is not a placeholder; there are \${NAME}, \${NAME:-otherwise}, \${file:/path} and \${credential:name}`,
    };
  }
  return env[variable] ?? otherwise ?? { problem: `the environment variable ${variable} is not set` };
}

function fromFile(path: string): string | { readonly problem: string } {
  if (!isAbsolute(path)) return { problem: `\${file:${path}} must have an absolute path` };
  try {
    const content = readFileSync(path);
    if (content.length > MOST_BYTES) return { problem: `${path} has more than ${MOST_BYTES} bytes` };
    return content.toString("utf8").replace(/\r?\n$/, "");
  } catch (error) {
    return { problem: `${path} cannot be read: ${reasonOf(error)}` };
  }
}

function fromCredential(name: string, env: Environment): string | { readonly problem: string } {
  if (!/^[A-Za-z0-9_.-]+$/.test(name) || name === "." || name === "..") {
    return { problem: `\${credential:${name}} must name a credential` };
  }
  const directory = env["CREDENTIALS_DIRECTORY"];
  if (directory === undefined || directory === "") {
    return {
      problem: `the credential ${name} is not there: CREDENTIALS_DIRECTORY is not set (LoadCredential= in the unit)`,
    };
  }
  return fromFile(join(directory, name));
}
