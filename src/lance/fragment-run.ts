import { BinaryReader } from "@bufbuild/protobuf/wire";

/** Field 2 of the manifest's message, which is repeated for each fragment. */
const FRAGMENTS = 2;

/** A manifest's fragments as they lie in it, one after the other. */
export interface FragmentRun {
  readonly bytes: Buffer;
  /** Where each of them begins, its tag included; then where the last one ends. */
  readonly bounds: readonly number[];
}

/**
 * Takes the fragments out of a manifest's message without decoding them: thousands of versions that share them
 * would otherwise have each decode them all.
 */
export function splitFragments(message: Buffer): { rest: Buffer; run: FragmentRun } {
  const reader = new BinaryReader(message);
  const rest: Buffer[] = [];
  const fragments: Buffer[] = [];
  const bounds = [0];
  let stretchStart = 0;
  let inFragments = false;
  let length = 0;
  const cut = (at: number) => {
    if (at > stretchStart) (inFragments ? fragments : rest).push(message.subarray(stretchStart, at));
    stretchStart = at;
  };
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const tag = reader.uint32();
    const isFragment = tag >>> 3 === FRAGMENTS;
    if (isFragment !== inFragments) {
      cut(start);
      inFragments = isFragment;
    }
    if (isFragment) {
      const bytes = reader.uint32();
      reader.pos += bytes;
      length += reader.pos - start;
      bounds.push(length);
    } else {
      reader.skip(tag & 7, tag >>> 3);
    }
  }
  if (reader.pos > reader.len) throw new RangeError("a fragment is cut short");
  cut(message.length);
  return { rest: joined(rest), run: { bytes: joined(fragments), bounds } };
}

/** The message of one fragment, without tag and length. */
export function fragmentAt(run: FragmentRun, index: number): Uint8Array {
  const reader = new BinaryReader(run.bytes.subarray(run.bounds[index], run.bounds[index + 1]));
  reader.tag();
  return reader.bytes();
}

export function countOf(run: FragmentRun): number {
  return run.bounds.length - 1;
}

/** Whether all fragments of `run` are the first ones of `longer`. */
export function isStartOf(run: FragmentRun, longer: FragmentRun): boolean {
  const { length } = run.bytes;
  return length <= longer.bytes.length && longer.bytes.subarray(0, length).equals(run.bytes);
}

/** Whether two runs have the same fragment at an index, byte for byte. */
export function isSameAt(index: number, a: FragmentRun, b: FragmentRun): boolean {
  const [start, end] = [a.bounds[index], a.bounds[index + 1]];
  const [otherStart, otherEnd] = [b.bounds[index], b.bounds[index + 1]];
  if (start === undefined || end === undefined || otherStart === undefined || otherEnd === undefined)
    return false;
  if (end - start !== otherEnd - otherStart) return false;
  // By views, since Deno's `compare` looks at other bytes than the ranges that it is given.
  return a.bytes.subarray(start, end).equals(b.bytes.subarray(otherStart, otherEnd));
}

function joined(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}
