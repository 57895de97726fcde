/**
 * What leads on from an error, as data: a call, or the call that failed, made once more with other options. The error's
 * message names it in the words of this library; a program that has its own words (a command, a page) makes them of this.
 */
export interface Hint {
  /** A method of `BackupManager` (recover, restoreBackup, cleanupBackup) or of `Repository`. Absent: the call that failed. */
  readonly call?: HintCall;
  /** Of the backup or the snapshot that it is about. */
  readonly id?: string;
  /** The database that it is to be called for, where the call alone does not say. */
  readonly database?: string;
  /** The repository that it is to be called for. */
  readonly repository?: string;
  /** null stands for a value that the caller has to choose. */
  readonly options?: Readonly<Partial<Record<HintOption, string | boolean | null>>>;
}

export type HintCall = "recover" | "restoreBackup" | "cleanupBackup" | "init" | "delete" | "unpin" | "unlock";

export type HintOption =
  | "allowEmpty"
  | "exclude"
  | "failOnShrink"
  | "force"
  | "history"
  | "link"
  | "mode"
  | "onConflict"
  | "primaryKey"
  | "snapshot"
  | "source"
  | "tables";

/** A message and the hints that it names, for the constructors of errors. */
export interface Advice {
  readonly text: string;
  readonly hints: readonly Hint[];
}

/** A template of a message: a hint in it stands for its call in words. */
export function advice(
  texts: TemplateStringsArray,
  ...values: readonly (string | number | Hint | Advice)[]
): Advice {
  const parts = values.map(asAdvice);
  const text = texts.map((part, index) => `${part}${parts[index]?.text ?? ""}`).join("");
  return { text, hints: parts.flatMap(({ hints }) => hints) };
}

function asAdvice(value: string | number | Hint | Advice): Advice {
  if (typeof value !== "object") return { text: String(value), hints: [] };
  return "text" in value ? value : { text: inCalls(value), hints: [value] };
}

/** `recover({ onConflict: "keep" })`; of the call that failed `with link: false`, or `with the option source`. */
export function inCalls({ call, id, options = {} }: Hint): string {
  const given = Object.entries(options).map(([name, value]) =>
    value === null ? name : `${name}: ${JSON.stringify(value)}`,
  );
  if (call === undefined) {
    const isOpen = Object.values(options).every((value) => value === null);
    return `with ${isOpen ? "the option " : ""}${given.join(", ")}`;
  }
  const parts = [
    ...(id === undefined ? [] : [JSON.stringify(id)]),
    ...(given.length > 0 ? [`{ ${given.join(", ")} }`] : []),
  ];
  return `${call === "init" ? "Repository.init" : call}(${parts.join(", ")})`;
}
