import type { TablePosition } from "../file/types.ts";

const FORMAT = 1;

/** A table as the newest periodic file holds it, and the links that keep that version alive. */
export interface PinnedTable {
  readonly id: string;
  /** Name of the directory with the links. */
  readonly pin: string;
  readonly position: TablePosition;
  /** Rows of that version; missing where its manifest does not say, and in older documents. */
  readonly rows?: number | undefined;
}

/** What a manager remembers of the last file that it wrote. */
export interface PinDocument {
  /** Identity of the chain's database. */
  readonly database: string;
  /** The option `tables` of then; another one makes another chain. */
  readonly selection: readonly string[] | null;
  readonly tables: readonly PinnedTable[];
}

export function formatPinDocument(document: PinDocument): string {
  return `${JSON.stringify({ format: FORMAT, ...document })}\n`;
}

/** Undefined for anything that is not such a document: the pin then counts as lost. */
export function parsePinDocument(text: string): PinDocument | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // half written: a pin that is lost costs a full, nothing else
  }
  if (!isObject(value) || value["format"] !== FORMAT) return undefined;
  const { database, selection, tables } = value;
  const texts = (list: unknown) => Array.isArray(list) && list.every((item) => typeof item === "string");
  const good =
    typeof database === "string" &&
    (selection === null || texts(selection)) &&
    Array.isArray(tables) &&
    tables.every(isPinnedTable);
  return good ? (value as unknown as PinDocument) : undefined;
}

function isPinnedTable(value: unknown): boolean {
  if (!isObject(value) || !isObject(value["position"])) return false;
  const { id, pin, position } = value;
  return (
    typeof id === "string" &&
    typeof pin === "string" &&
    /^[\w.$-]+$/.test(pin) &&
    !pin.startsWith(".") &&
    Number.isSafeInteger(position["version"]) &&
    typeof position["digest"] === "string"
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
