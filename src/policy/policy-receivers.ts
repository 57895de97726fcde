import { createHash } from "node:crypto";
import { parseDuration } from "./duration.ts";
import { isLasting, isWanted, type NoticeKind } from "./notice-kinds.ts";
import type { NotificationSection, ReceiverSection } from "./notification-schema.ts";
import type { PolicySettings } from "./policy-set.ts";

/** Of people; programs are told of each by itself. */
const DIGEST = "5m";

/** One that a policy tells, with a name that holds no secret and is the same after a restart. */
export interface Receiver {
  readonly key: string;
  readonly section: ReceiverSection;
  readonly host: string;
}

/** Of several policies the same where they say the same of it. It may hold secrets. */
export const nameOf = ({ section }: Receiver) => JSON.stringify(section);

export function allReceivers({ notifications }: PolicySettings): Receiver[] {
  const counts = new Map<string, number>();
  return notifications.filter(isReceiver).map((section) => {
    const host = section.type === "mail" ? section.host : hostOf(section.url);
    const place = section.type === "mail" ? `${host} ${shortHash(section.to.join(","))}` : host;
    const same = counts.get(`${section.type} ${place}`) ?? 0;
    counts.set(`${section.type} ${place}`, same + 1);
    return { key: `${section.type} ${place} ${same}`, section, host };
  });
}

export function receiversOf(settings: PolicySettings, kind: NoticeKind): Receiver[] {
  return allReceivers(settings).filter(({ section }) => isWanted(section, kind));
}

/** For how long what comes at once is gathered, to go in one; undefined where each notice goes by itself. */
export function digestMsOf({ section }: Receiver): number | undefined {
  const { type, digest = type === "webhook" ? false : DIGEST } = section;
  return digest === false ? undefined : (parseDuration(digest) ?? 0);
}

/**
 * Whether a receiver is to be told: not where it was, of the same that still goes on, a short while ago.
 *
 * @param told when each was told of each kind, as the state has it
 */
export function isDue(
  { key, section }: Receiver,
  kind: NoticeKind,
  told: Readonly<Record<string, number>>,
  now: number,
): boolean {
  const last = told[`${key} ${kind}`];
  if (!isLasting(kind) || last === undefined) return true;
  // Where the clock has gone back, it is not known how long ago that was.
  return now < last || now - last >= (parseDuration(section.repeat ?? "24h") ?? 0);
}

const isReceiver = (section: NotificationSection): section is ReceiverSection => section.type !== "ping";

export const hostOf = (url: string) => new URL(url).host;

const shortHash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8);
