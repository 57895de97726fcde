import { escapeHtml } from "./html.ts";

/** HTML that is safe: what came into it as text was escaped. */
export class Markup {
  readonly #html: string;

  /** @param html is taken as it is. */
  constructor(html: string) {
    this.#html = html;
  }

  toString(): string {
    return this.#html;
  }
}

/** What may stand between the pieces of a template; nothing is written for `undefined` and `false`. */
export type MarkupValue = Markup | string | number | undefined | false | readonly MarkupValue[];

/** Writes HTML: every text that is put into it, also into an attribute in double quotes, is escaped. */
export function html(pieces: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  return new Markup(pieces.map((piece, index) => piece + written(values[index])).join(""));
}

function written(value: MarkupValue): string {
  if (value === undefined || value === false) return "";
  if (typeof value === "object") {
    return value instanceof Markup ? value.toString() : value.map(written).join("");
  }
  return escapeHtml(String(value));
}
