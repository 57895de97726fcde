/** What pg_dump writes last; with a key, a line that ends the restriction comes after it. */
const END =
  /\n--\n-- PostgreSQL database (?:cluster )?dump complete\n--\n\s*(?:\\unrestrict [A-Za-z0-9]+\n)?\s*$/;

/** Longer than the end is. */
const KEPT_BYTES = 512;

/** Looks for the end of a script that passes. */
export function endOfScript(): { pass(piece: Uint8Array): void; isThere(): boolean } {
  let last: Buffer = Buffer.alloc(0);
  return {
    pass(piece) {
      const tail = piece.subarray(Math.max(0, piece.length - KEPT_BYTES));
      last =
        tail.length === KEPT_BYTES ? Buffer.from(tail) : Buffer.concat([last, tail]).subarray(-KEPT_BYTES);
    },
    isThere: () => END.test(`\n${last.toString("latin1")}`),
  };
}

const BLOCK_BYTES = 512;

/** Follows a tar that passes from file to file, up to the blocks of zeros that end it. */
export function endOfTar(): { pass(piece: Uint8Array): void; isThere(): boolean } {
  let header: Buffer = Buffer.alloc(0);
  /** Of the file that is passing, with what fills its last block. */
  let left = 0;
  let emptyBlocks = 0;
  return {
    pass(piece) {
      for (let at = 0; at < piece.length; ) {
        const wanted = left > 0 ? left : BLOCK_BYTES - header.length;
        const stretch = piece.subarray(at, at + wanted);
        at += stretch.length;
        if (left > 0) {
          left -= stretch.length;
          continue;
        }
        header = Buffer.concat([header, stretch]);
        if (header.length < BLOCK_BYTES) continue;
        if (header.every((byte) => byte === 0)) emptyBlocks++;
        else left = Math.ceil(sizeInTar(header) / BLOCK_BYTES) * BLOCK_BYTES;
        header = Buffer.alloc(0);
      }
    },
    isThere: () => emptyBlocks >= 2 && left === 0 && header.length === 0,
  };
}

/** In octal digits, or, where they are not enough, as a number of 8 bytes. */
function sizeInTar(header: Buffer): number {
  const isBinary = ((header[124] ?? 0) & 0x80) !== 0;
  return isBinary
    ? Number(header.readBigUInt64BE(128))
    : Number.parseInt(header.toString("latin1", 124, 136), 8);
}

/** Among the settings that a script begins with. */
const TRANSACTION_TIMEOUT = /^((?:--[^\n]*\n|\n|SET [^\n]*\n)*?)SET transaction_timeout = 0;\n/;

/** It would wait for ever. Whoever runs the script says for how long. */
const LOCK_TIMEOUT = /^((?:--[^\n]*\n|\n|SET [^\n]*\n)*?)SET lock_timeout = 0;\n/;

/** As many bytes of a script are before its first statement, at most. */
const HEAD_BYTES = 4096;

/**
 * A script without the lines by which pg_dump forbids psql's commands in it: its key is known to whoever knows the source. Whoever runs the
 * script forbids them by a key of its own. And without a setting that servers of before 17 do not know.
 */
export async function* plainScript(
  script: AsyncIterable<Uint8Array>,
  serverMajor: number,
): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0);
  let isHeadDone = false;
  for await (const piece of script) {
    held = Buffer.concat([held, piece]);
    if (!isHeadDone) {
      if (held.length < HEAD_BYTES) continue;
      held = withoutHead(held, serverMajor);
      isHeadDone = true;
    }
    if (held.length <= KEPT_BYTES) continue;
    yield held.subarray(0, held.length - KEPT_BYTES);
    held = Buffer.from(held.subarray(held.length - KEPT_BYTES));
  }
  if (!isHeadDone) held = withoutHead(held, serverMajor);
  const text = held.toString("latin1").replace(/\n\\unrestrict [A-Za-z0-9]+\n\s*$/, "\n");
  yield Buffer.from(text, "latin1");
}

function withoutHead(bytes: Buffer, serverMajor: number): Buffer {
  const text = bytes.toString("latin1");
  const plain = text.replace(/^((?:--[^\n]*\n|\n)*)\\restrict [A-Za-z0-9]+\n/, "$1");
  const patient = plain.replace(LOCK_TIMEOUT, "$1");
  const known = serverMajor >= 17 ? patient : patient.replace(TRANSACTION_TIMEOUT, "$1");
  return Buffer.from(known, "latin1");
}
