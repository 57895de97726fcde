// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text from a file or a database as a terminal may show it: without what would move its cursor, colour it or turn it
 * around. Tabs and line ends become spaces.
 */
export function printable(text: string): string {
  return text.replace(/[\t\n\r]+/g, " ").replace(CONTROL, "\ufffd");
}
