import { type Table, tableFromArrays } from "apache-arrow";
import { randomNumbers } from "./random.ts";

const WORDS = 20_000;
const TEXT_WORDS = 90;

/**
 * Rows of a text and of JSON, some kilobyte each: words of which few are frequent and most are rare, as in a language, so that they can be
 * compressed about as such. The same for the same seed.
 */
export function textRows(count: number, seed: number): Table {
  const random = randomNumbers(seed);
  const word = () => WORD_LIST[Math.floor(WORDS ** random()) - 1] ?? "";
  const text = (words: number) => Array.from({ length: words }, word).join(" ");
  const ids = Array.from({ length: count }, (_, index) => seed * count + index);
  return tableFromArrays({
    id: Int32Array.from(ids),
    text: ids.map(() => text(TEXT_WORDS)),
    metadata: ids.map((id) =>
      JSON.stringify({
        source: `https://example.org/${word()}/${word()}/${id}`,
        author: { name: text(2), id: Math.floor(random() * 5000) },
        score: random(),
        tags: [word(), word(), word()],
        takenAt: new Date(1.7e12 + Math.floor(random() * 1e10)).toISOString(),
        summary: text(20),
      }),
    ),
  });
}

const WORD_LIST: readonly string[] = Array.from({ length: WORDS }, (_, index) => {
  const random = randomNumbers(index + 1);
  const syllable = () => "bcdfghklmnprstvz".charAt(random() * 16) + "aeiou".charAt(random() * 5);
  return Array.from({ length: 1 + Math.floor(random() * 4) }, syllable).join("");
});
