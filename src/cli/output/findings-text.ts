import type { Finding } from "../../doctor/finding.ts";
import { counted, withLocalTimes } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { wrap } from "./table.ts";
import type { Style, Terminal } from "./terminal.ts";

const LOOKS: Record<Finding["level"], readonly [mark: string, style: Style]> = {
  ok: ["ok", "green"],
  note: ["note", "cyan"],
  warning: ["warning", "yellow"],
  problem: ["PROBLEM", "red"],
};

const WIDEST = "PROBLEM".length;
const INDENT = " ".repeat(WIDEST + 2);

/** One finding a paragraph; what to do stands below it, behind an arrow. */
export function findingsText(terminal: Terminal, findings: readonly Finding[]): string {
  const lines = findings.map(({ check, about, level, details, advice }) => {
    const [mark, style] = LOOKS[level];
    const found = `${check} ${terminal.style("bold", printable(about))}: ${printable(withLocalTimes(details))}`;
    const head = `${terminal.style(style, mark.padEnd(WIDEST))}  ${wrap(found, terminal.columns - INDENT.length, INDENT)}`;
    // Commands stay on one line, so that they can be copied.
    return advice === undefined ? head : `${head}\n${INDENT}-> ${printable(advice)}`;
  });
  const problems = findings.filter(({ level }) => level === "problem").length;
  const warnings = findings.filter(({ level }) => level === "warning").length;
  return [...lines, "", `${counted(problems, "problem")}, ${counted(warnings, "warning")}.`].join("\n");
}
