/** A command line of ours, ready to be pasted into a shell. What stands in angle brackets is for the reader to fill in. */
export function commandLine(...words: readonly string[]): string {
  return ["lancedb-backup", ...words].map(quote).join(" ");
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$|^<\w+>$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
