/** The more particular first. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [
    /[Cc]all recover\(\) of a BackupManager on it first, or "lancedb-backup recover"/g,
    "Run `lancedb-backup recover <database>` first",
  ],
  [
    /(?:\bcall )?\brecover\(\{ onConflict: "(overwrite|keep)" \}\)/g,
    "`lancedb-backup recover --$1 <database>`",
  ],
  [/\bcall recover\(\{ force: true \}\)/g, "run `lancedb-backup recover --force <database>`"],
  [/\bcall recover\(\)/g, "run `lancedb-backup recover <database>`"],
  [/\brecover\(\)/g, "`lancedb-backup recover <database>`"],
  [/\brestoreBackup\("([^"]*)"\)/g, "`lancedb-backup undo restore <database> $1`"],
  [/\bcleanupBackup\("([^"]*)"\)/g, "`lancedb-backup undo clean <database> $1`"],
  [/Use onConflict: "overwrite" to go back/g, "Leave --fail-on-conflict out to go back"],
  [/\bRepository\.init\(\)/g, "`lancedb-backup init`"],
  [/with the option (snapshot|source)\b/g, "with --$1"],
  [/with the option primaryKey, or leave the table out with the option tables/g, "with --key"],
  [/the option "?tables"?/g, "--table"],
  [/\bprune with force\b/g, "prune with --force"],
  [/, as failOnShrink asks/g, ", as --fail-on-shrink asks"],
  [/, set allowEmpty\./g, ", add --allow-empty."],
  [/(?<![.\w])delete\("([^"]*)"\)/g, "`lancedb-backup delete $1`"],
  [/is a repository already\. Open it\./g, "is a repository already. Name it with --repo to use it."],
  [/Restore without link\./g, "Leave --link out."],
  [/Leave mode out\./g, "Leave --in-place out."],
  [/\bversions names\b/g, "--table-version names"],
  [/, and tables does not\b/g, ", and --table does not"],
];

/** The library's advice names its functions; a reader at a terminal is told the commands. */
export function inCommandWords(message: string): string {
  return WORDS.reduce((text, [pattern, words]) => text.replace(pattern, words), message);
}
