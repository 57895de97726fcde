import { z } from "zod";
import { choice, duration, flag, list, section, text } from "./policy-fields.ts";

const listen = "it must be an address and a port, such as 127.0.0.1:8420 or [::1]:8420";

/** What a file says of the page that `run` serves. */
export const page = section({
  listen: z
    .string(listen)
    .regex(/^(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):\d{1,5}$/, listen)
    .meta({ description: "Address and port. Default 127.0.0.1:8420." })
    .optional(),
  tls: section({ cert: text("A file in PEM."), key: text("A file in PEM.") })
    .meta({ description: "Needed if it listens on more than loopback." })
    .optional(),
  plain_http: flag("Listen elsewhere without TLS: behind a proxy that encrypts. Default false.").optional(),
  hosts: list("Host names of the page, besides localhost and its address.").optional(),
  tokens: z
    .array(
      section({
        name: text("Whose token it is."),
        role: choice(
          ["reader", "operator", "administrator"],
          "reader looks; operator also runs and verifies; administrator also restores and prunes.",
        ),
        hash: z
          .string("it must be a text")
          .regex(/^\$scrypt\$/, 'it must be what "lancedb-backup page token" prints, $scrypt$…')
          .meta({ description: "Made by lancedb-backup page token." }),
      }),
      "it must be a list of tokens",
    )
    .min(1, 'it must not be empty: "lancedb-backup page token" makes one')
    .meta({ description: "Who may sign in." }),
  restore_to: list("Directories below which an administrator may restore. Default: none.").optional(),
  session: duration("How long a session lasts, at most 400d. Default 12h.", "400d").optional(),
}).meta({ description: "A page that run serves." });

export type PageSection = z.infer<typeof page>;
