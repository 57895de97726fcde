import { parseAst } from "rolldown/parseAst";

/** What is longer goes on lines of its own, part by part. */
const LONG = 100;

/** The lists of a node whose parts begin lines. */
function listsOf(node) {
  const isLong = node.end - node.start > LONG;
  switch (node.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
    case "ClassBody":
      return [node.body];
    case "SwitchStatement":
      return [node.cases];
    case "SwitchCase":
      return [node.consequent];
    case "ObjectExpression":
      return isLong ? [node.properties] : [];
    case "ArrayExpression":
      return isLong ? [node.elements.slice(1)] : [];
    case "SequenceExpression":
      return isLong ? [node.expressions.slice(1)] : [];
    case "VariableDeclaration":
      return isLong ? [node.declarations.slice(1)] : [];
    default:
      return [];
  }
}

/**
 * Minified code with a line for each statement and each member of a class, and for each part of what is long. Node
 * prints the line of an error that nobody caught, and with one line a file that would be the whole file.
 * @param {string} code
 */
export function breakLines(code) {
  const places = new Set();
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node?.type !== "string") return;
    for (const part of listsOf(node).flat()) if (part) places.add(part.start);
    Object.values(node).forEach(visit);
  };
  visit(parseAst(code));
  let text = "";
  let from = 0;
  for (const place of [...places].sort((one, other) => one - other)) {
    // Behind anything else, a parenthesis or a label, a line break could change what is meant.
    if (!/[{};,:]$/.test(code.slice(place - 1, place))) continue;
    text += `${code.slice(from, place)}\n`;
    from = place;
  }
  return text + code.slice(from);
}
