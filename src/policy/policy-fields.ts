import { z } from "zod";
import { DURATION, parseDuration } from "./duration.ts";

// Kinds of values that a configuration file holds: each with a description, and an error that says what is allowed.

/** An object that has these keys and no others, which its error names. */
export function section<S extends z.ZodRawShape>(shape: S) {
  const allowed = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `there is no such key; there are ${allowed}`
        : `it must be a mapping with ${allowed}`,
  });
}

export const text = (description: string) =>
  z.string("it must be a text").min(1, "it must not be empty").meta({ description });
export const flag = (description: string) => z.boolean("it must be true or false").meta({ description });
export const whole = (description: string, lowest = 1, highest = Number.MAX_SAFE_INTEGER) => {
  const how = `it must be a whole number from ${lowest}${highest < Number.MAX_SAFE_INTEGER ? ` to ${highest}` : ""}`;
  return z.int(how).min(lowest, how).max(highest, how).meta({ description });
};
export const list = (description: string, of = "texts") =>
  z
    .array(
      z.string(`it must be a list of ${of}`).min(1, "an item must not be empty"),
      `it must be a list of ${of}`,
    )
    .min(1, "it must not be empty")
    .meta({ description });
export const choice = <const T extends readonly string[]>(values: T, description: string) =>
  z.enum(values, `it must be one of ${values.join(", ")}`).meta({ description });
export const duration = (description: string, most = "36500d") =>
  z
    .string("it must be a time such as 90s, 15m, 6h or 2d")
    .regex(DURATION, "it must be a time such as 90s, 15m, 6h or 2d")
    .refine((text) => (parseDuration(text) ?? 0) <= (parseDuration(most) ?? 0), `it must be at most ${most}`)
    .meta({ description });
export const schedule = (description: string) =>
  text(`${description}: a cron pattern ("0 2 * * *") or an interval ("6h").`);

/** What a name of a snapshot may be; of a policy too. */
const LABEL = /^[A-Za-z0-9][A-Za-z0-9_.:+@-]{0,99}$/;
export const label = (description: string) =>
  z
    .string("it must be a text")
    .regex(LABEL, "it must be 1 to 100 letters, digits and _ . : + @ -, beginning with a letter or digit")
    .meta({ description });

const part = "it must be true or false, a number from 0 to below 1, or a percentage such as 50%";
export const fraction = (description: string) =>
  z
    .union(
      [z.boolean(), z.number().min(0, part).lt(1, part), z.string().regex(/^\d{1,2}(\.\d+)?%$/, part)],
      part,
    )
    .meta({ description });
export const address = (description: string) =>
  z
    .string("it must be an address, https://…")
    .regex(/^https?:\/\/[^\s/]/, "it must be an address, https://…")
    .refine((text) => URL.canParse(text), "it is not a valid address: is its host or its port wrong?")
    .meta({ description });
