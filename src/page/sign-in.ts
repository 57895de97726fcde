import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../util/clock.ts";
import { ownerOf, type PageToken, type Role } from "./access-token.ts";

/** Somebody who has come in. */
export interface Session {
  readonly name: string;
  readonly role: Role;
  /** What every form of theirs must bring along. */
  readonly csrf: string;
  /** Milliseconds since 1970. */
  readonly until: number;
  /** What is to be said on the next page. */
  said?: string | undefined;
}

export type Attempt =
  | { readonly outcome: "in"; readonly cookie: string; readonly session: Session }
  | { readonly outcome: "wrong" }
  /** Not looked at. */
  | { readonly outcome: "wait"; readonly seconds: number };

const FREE_ATTEMPTS = 5;
const LONGEST_WAIT_MS = 15 * 60_000;
/** After so long without a wrong token, an address begins anew. */
const FORGET_MS = 60 * 60_000;
const MOST_ADDRESSES = 10_000;
const MOST_SESSIONS = 1000;
/** Hashes take 32 MB each. */
const MOST_AT_ONCE = 4;

/** Who comes in by a token, and is known by a cookie from then on. Nothing of it outlives the process. */
export class SignIn {
  #tokens: readonly PageToken[];
  readonly #sessionMs: number;
  readonly #clock: Clock;
  /** By the digest of what is in the cookie: who reads memory has no cookie of it. */
  readonly #sessions = new Map<string, Session>();
  readonly #failures = new Map<string, { count: number; last: number }>();
  #atOnce = 0;

  constructor(tokens: readonly PageToken[], sessionMs: number, clock: Clock) {
    this.#tokens = tokens;
    this.#sessionMs = sessionMs;
    this.#clock = clock;
  }

  /**
   * Lets in who has a token. Five wrong ones from an address are free; then it waits a second, two, four, …, a quarter of an
   * hour.
   */
  async enter(token: string, address: string): Promise<Attempt> {
    const place = placeOf(address);
    const seconds = Math.ceil(this.#waitMs(place) / 1000);
    if (seconds > 0) return { outcome: "wait", seconds };
    if (this.#atOnce >= MOST_AT_ONCE) return { outcome: "wait", seconds: 1 };
    // Counted before the hash is computed: many attempts at once are many attempts.
    this.#count(place);
    this.#atOnce++;
    let owner: PageToken | undefined;
    try {
      owner = await ownerOf(token, this.#tokens);
    } finally {
      this.#atOnce--;
    }
    // While the hash was computed, it may have been taken back.
    if (!owner || !this.#tokens.includes(owner)) return { outcome: "wrong" };
    this.#failures.delete(place);
    return { outcome: "in", ...this.#begin(owner) };
  }

  /** From now on these come in, and everyone anew. */
  replace(tokens: readonly PageToken[]): void {
    this.#tokens = tokens;
    this.#sessions.clear();
  }

  #begin({ name, role }: PageToken) {
    const cookie = randomBytes(32).toString("base64url");
    const until = this.#clock.now() + this.#sessionMs;
    const session: Session = { name, role, csrf: randomBytes(32).toString("base64url"), until };
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= MOST_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    this.#sessions.set(keyOf(cookie), session);
    return { cookie, session };
  }

  /** Undefined where there is none, or it is over. */
  session(cookie: string | undefined): Session | undefined {
    if (cookie === undefined) return undefined;
    const key = keyOf(cookie);
    const session = this.#sessions.get(key);
    if (session && session.until > this.#clock.now()) return session;
    this.#sessions.delete(key);
    return undefined;
  }

  leave(cookie: string | undefined): void {
    if (cookie !== undefined) this.#sessions.delete(keyOf(cookie));
  }

  #waitMs(place: string): number {
    const failed = this.#failures.get(place);
    if (!failed || failed.count < FREE_ATTEMPTS) return 0;
    const wait = Math.min(LONGEST_WAIT_MS, 1000 * 2 ** (failed.count - FREE_ATTEMPTS));
    return failed.last + wait - this.#clock.now();
  }

  #count(place: string): void {
    const now = this.#clock.now();
    const before = this.#failures.get(place);
    const count = before && now - before.last < FORGET_MS ? before.count + 1 : 1;
    this.#failures.delete(place);
    this.#failures.set(place, { count, last: now });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > MOST_ADDRESSES && oldest !== undefined) this.#failures.delete(oldest);
  }
}

/** Whether two texts are the same, in a time that does not tell how much of them is. */
export function isSame(a: string, b: string): boolean {
  return timingSafeEqual(createHash("sha256").update(a).digest(), createHash("sha256").update(b).digest());
}

function keyOf(cookie: string): string {
  return createHash("sha256").update(cookie).digest("base64url");
}

/** Whoever has an IPv6 address has 2^64 of them. */
function placeOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0");
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
