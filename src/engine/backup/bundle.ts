import { takeMemory } from "../../util/spare-memory.ts";
import { BLOB_BYTES } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";

interface SmallFile {
  readonly entry: Entry;
  readonly sha256: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Small files that lie behind one another in one blob, each content once. */
export class Bundle {
  readonly files: SmallFile[] = [];
  readonly #byContent = new Map<string, SmallFile>();
  #bytes: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  hasRoomFor(sha256: string, bytes: number): boolean {
    return this.#byContent.has(sha256) || this.#length + bytes <= BLOB_BYTES;
  }

  add(entry: Entry, sha256: string, content: Uint8Array): void {
    const twin = this.#byContent.get(sha256);
    const file = twin ? { ...twin, entry } : { entry, sha256, offset: this.#length, bytes: content.length };
    this.files.push(file);
    if (twin) return;
    this.#byContent.set(sha256, file);
    this.#bytes ??= takeMemory(BLOB_BYTES); // where nothing is written it takes no room
    this.#bytes.set(content, this.#length);
    this.#length += content.length;
  }

  /** The digest of all its bytes, where they are one content. */
  get only(): string | undefined {
    return this.#byContent.size === 1 ? this.files[0]?.sha256 : undefined;
  }

  /** Its bytes, which are the caller's from now on. */
  take(): Buffer {
    return this.#bytes?.subarray(0, this.#length) ?? Buffer.alloc(0);
  }
}
