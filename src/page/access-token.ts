import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";

/** What somebody may do on the page: each role may what those before it may. */
export const ROLES = ["reader", "operator", "administrator"] as const;

/** `reader` sees; `operator` runs and verifies; `administrator` restores and prunes. */
export type Role = (typeof ROLES)[number];

/** Who may come in, as a configuration names them. */
export interface PageToken {
  /** Who it was made for; shown on the page, and named as the one who asked. */
  readonly name: string;
  readonly role: Role;
  /** What `newToken` answered with: `$scrypt$ln=15,r=8,p=1$<salt>$<hash>`. The token cannot be told from it. */
  readonly hash: string;
}

/** 32 MB and some 80 ms: who has the file cannot try many. */
const COST = { ln: 15, r: 8, p: 1 } as const;
const [SALT_BYTES, HASH_BYTES, SECRET_BYTES] = [16, 32, 32];
const PREFIX = "lbp_";
/** A dearer one would let a file of someone else's take all memory. */
const HIGHEST_LN = 18;

const TOKEN = /^lbp_([A-Za-z0-9_-]{22})_([A-Za-z0-9_-]{43})$/;
const HASH = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/;

/**
 * A token of 256 random bits, and what a configuration keeps in its place.
 *
 * @example
 * ```ts
 * const { token, hash } = await newToken();
 * console.log(token); // for who signs in; the configuration keeps the hash
 * ```
 */
export function newToken(): Promise<{ readonly token: string; readonly hash: string }> {
  return tokenOf(COST);
}

/** @internal @param cost a lower one is for tests. */
export async function tokenOf(cost: Cost): Promise<{ readonly token: string; readonly hash: string }> {
  const salt = randomBytes(SALT_BYTES);
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  const hash = await digest(secret, salt, cost);
  const { ln, r, p } = cost;
  const about = `$scrypt$ln=${ln},r=${r},p=${p}`;
  return {
    token: `${PREFIX}${salt.toString("base64url")}_${secret}`,
    hash: `${about}$${salt.toString("base64url")}$${hash.toString("base64url")}`,
  };
}

/** Whether it is a hash of a token, and one that this machine can be asked to compare. */
export function isTokenHash(hash: string): boolean {
  return parseHash(hash) !== undefined;
}

/**
 * Whose token it is. One hash is computed, whether there is such a token or not, and compared in a time that does not
 * depend on what is in it.
 */
export async function ownerOf(token: string, tokens: readonly PageToken[]): Promise<PageToken | undefined> {
  const [, salt = "", secret = ""] = TOKEN.exec(token) ?? [];
  const named = tokens.find(({ hash }) => parseHash(hash)?.salt === salt);
  const { cost, hash } = parseHash(named?.hash ?? "") ?? { cost: costOf(tokens), hash: undefined };
  const computed = await digest(secret, Buffer.from(salt, "base64url"), cost);
  const expected = hash ?? randomBytes(HASH_BYTES);
  return timingSafeEqual(computed, expected) ? named : undefined;
}

/** What is computed for a token that is none takes as long as for one that is. */
function costOf([first]: readonly PageToken[]): Cost {
  return parseHash(first?.hash ?? "")?.cost ?? COST;
}

interface Cost {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

function parseHash(text: string): { cost: Cost; salt: string; hash: Buffer } | undefined {
  const [, ln, r, p, salt = "", hash = ""] = HASH.exec(text) ?? [];
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) };
  const isFit =
    cost.ln >= 10 && cost.ln <= HIGHEST_LN && cost.r >= 1 && cost.r <= 16 && cost.p >= 1 && cost.p <= 4;
  return isFit ? { cost, salt, hash: Buffer.from(hash, "base64url") } : undefined;
}

function digest(secret: string, salt: Buffer, { ln, r, p }: Cost): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** ln, r, p, maxmem: 256 * 2 ** ln * r };
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, HASH_BYTES, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** Whether a role may what another may. */
export function mayAs(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
