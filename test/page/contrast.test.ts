import { expect, test } from "vitest";
import { STYLE } from "../../src/html/style.ts";
import { PAGE_STYLE } from "../../src/page/page-style.ts";

/** What is written in which colour on which ground: 4.5 to 1. */
const TEXTS = [
  ...["text", "soft", "one", "good", "bad", "two"].flatMap((text) =>
    ["card", "back", "panel"].map((ground) => [text, ground] as const),
  ),
  ...(["good", "bad", "two", "one"] as const).map((text) => [text, `${text}-soft`] as const),
  ...[["text", "one-soft"] as const, ["text", "bad-soft"] as const],
  ...[["button-text", "button"] as const, ["card", "bad"] as const],
];
/** What is seen by its edge, or says something by its colour: 3 to 1. */
const MARKS = ["one", "two", "good", "bad", "edge"].flatMap((mark) =>
  ["card", "back"].map((ground) => [mark, ground] as const),
);
/** Of the report, which has no cards. */
const OF_REPORT = ["text", "soft", "one", "two", "good", "bad"].flatMap((text) =>
  ["back", "panel"].map((ground) => [text, ground] as const),
);

test.each([
  ["the page", STYLE + PAGE_STYLE, TEXTS, MARKS],
  ["the report", STYLE, OF_REPORT, []],
] as const)("colours of %s can be told apart, in light and in dark", (_of, style, texts, marks) => {
  const light = colours(style.replace(/@media \(prefers-color-scheme: dark\) \{[^}]*\} ?\}/g, ""));
  const dark = new Map([...light, ...colours(style)]);
  expect(dark.get("back")).not.toBe(light.get("back"));
  for (const [scheme, known] of Object.entries({ light, dark })) {
    const ratio = ([one, other]: readonly [string, string]) =>
      contrast(known.get(one) ?? "", known.get(other) ?? "");
    const pale = [
      ...texts.filter((pair) => !(ratio(pair) >= 4.5)),
      ...marks.filter((pair) => !(ratio(pair) >= 3)),
    ];
    const told = pale.map((pair) => `${scheme}: ${pair.join(" on ")} ${ratio(pair).toFixed(2)}`);
    expect(told).toEqual([]);
  }
});

/** The variables that a style sets, by their names: of several, the last. */
function colours(style: string): Map<string, string> {
  const set = style.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})\b/g);
  return new Map([...set].map(([, name = "", colour = ""]) => [name, colour]));
}

/** As WCAG 2 says. */
function contrast(one: string, other: string): number {
  const [high = 0, low = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((start) => Number.parseInt(colour.slice(start, start + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
