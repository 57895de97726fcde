import { z } from "zod";
import { NOTICE_KINDS, SEVERITIES } from "./notice-kinds.ts";
import { address, choice, duration, section, text, whole } from "./policy-fields.ts";

const MAILBOX = /^(?:[^\p{Cc}<>"@,;:]{1,100} <[^\s<>"@,;:]+@[^\s<>"@,;:]+>|[^\s<>"@,;:]+@[^\s<>"@,;:]+)$/u;
const HOW_MAILBOX = "it must be an address such as me@example.com, or Name <me@example.com>";
const mailbox = () => z.string(HOW_MAILBOX).regex(MAILBOX, HOW_MAILBOX);

const wanted = {
  on: z
    .array(choice(NOTICE_KINDS, "What is told."))
    .min(1, "it must not be empty")
    .meta({
      description: "Which notices are sent. Default: failure, recovery, overdue, damage, shrink.",
    })
    .optional(),
  severity: choice(
    SEVERITIES,
    "Instead of on: notices of this severity or worse, and the first success after them.",
  ).optional(),
  repeat: duration(
    "While a policy fails, is overdue or damaged, the notice is repeated after this time. Default 24h.",
  ).optional(),
  digest: z
    .union([duration("", "1d"), z.literal(false)], "it must be a time of 1d at most, such as 5m, or false")
    .meta({
      description:
        "After three notices within this time, further ones are combined into one, sent when the time is over. false: each is sent separately. Default 5m, for webhooks false.",
    })
    .optional(),
};

const kinds = [
  section({
    type: z.literal("webhook"),
    url: address("Where to: a notice is sent in the form of Standard Webhooks."),
    secret: z
      .string("it must be a text")
      .regex(/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/, "it must be whsec_ and 24 bytes or more in base64")
      .meta({ description: "The secret by which the receiver knows the sender." })
      .optional(),
    ...wanted,
  }),
  section({
    type: z.literal("mail"),
    host: z
      .string("it must be a mail server's name")
      .regex(/^[A-Za-z0-9.:_-]+$/, "it must be a mail server's name, without a port")
      .meta({ description: "The mail server." }),
    port: whole("Its port. Default 587; with tls implicit 465, with none 25.", 1, 65535).optional(),
    tls: choice(
      ["starttls", "implicit", "none"],
      "Default starttls: nothing is sent to a server that does not offer it. none: with a password only on this machine.",
    ).optional(),
    ca: text("A file with certificates that are trusted in addition to the public ones.").optional(),
    user: text("The user, if the server asks for one.").optional(),
    password: text("Best a placeholder for the environment, a file or a credential.").optional(),
    from: mailbox().meta({ description: "The sender." }),
    to: z
      .array(mailbox(), "it must be a list of addresses")
      .min(1, "it must not be empty")
      .meta({ description: "The receivers." }),
    ...wanted,
  }),
  section({
    type: z.literal("slack"),
    url: address("The address of an incoming webhook of Slack, or of a compatible service."),
    ...wanted,
  }),
  section({
    type: z.literal("ping"),
    url: address(
      "As of healthchecks.io: this address is called after a success, and with /start or /fail added when a run starts or fails.",
    ),
  }),
] as const;

/** Who is told. */
export const notification = z
  .discriminatedUnion("type", kinds, {
    error: (issue) =>
      issue.code === "invalid_union"
        ? "there is no such type; there are webhook, mail, slack, ping"
        : "it must be a mapping with a type",
  })
  .meta({ description: "Who is told." });

export type NotificationSection = z.infer<typeof notification>;
/** Who gets notices; a ping says of every run how it ended, and nothing else. */
export type ReceiverSection = Exclude<NotificationSection, { type: "ping" }>;
