import { IoError } from "../../errors.ts";
import type { Storage } from "../storage.ts";
import { StorageLayer } from "./storage-layer.ts";

/** Refuses to write and to remove, before anything is asked of the storage below. */
export class ReadOnlyStorage extends StorageLayer {
  override write(name: string): Promise<void> {
    return this.#refuse("write", name);
  }

  override writeNew(name: string): Promise<boolean> {
    return this.#refuse("write", name);
  }

  override remove(name: string): Promise<void> {
    return this.#refuse("remove", name);
  }

  override assertWritable(name: string): Promise<void> {
    return this.#refuse("write", name);
  }

  async #refuse(action: string, name: string): Promise<never> {
    throw readOnly(this, action, name);
  }
}

export const isWritable = (storage: Storage) => !(storage instanceof ReadOnlyStorage);

/** @throws IoError (`EROFS`) for one that was opened for reading alone. */
export function assertWritable(storage: Storage): void {
  if (!isWritable(storage)) throw readOnly(storage, "write to");
}

function readOnly({ location }: Storage, action: string, name?: string): IoError {
  const path = name === undefined ? location : `${location}/${name}`;
  return new IoError(
    `Could not ${action} ${path}: it was opened for reading only (readOnly). Nothing was changed.`,
    { path, errno: "EROFS" },
  );
}
