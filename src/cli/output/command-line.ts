/** A command line of ours, ready to be pasted into a shell. */
export function commandLine(...words: readonly string[]): string {
  return ["lancedb-backup", ...words].map(quote).join(" ");
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
