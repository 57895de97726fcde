import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { rootCertificates } from "node:tls";
import type * as Nodemailer from "nodemailer";
import { IoError, UnsupportedError } from "../errors.ts";
import { reasonOf, toReadError } from "../fs/io.ts";
import { isNotInstalled } from "../util/not-installed.ts";
import { printable } from "../util/printable.ts";
import type { Told } from "./notice.ts";
import { htmlOf, textOf, titleOf } from "./notice-text.ts";
import type { NotificationSection } from "./notification-schema.ts";

type MailSection = Extract<NotificationSection, { type: "mail" }>;

/** How long a server may be silent, and how long all of it may take. */
const SILENCE_MS = 10_000;
const WHOLE_MS = 30_000;

const PORTS = { starttls: 587, implicit: 465, none: 25 } as const;

const MOST_CHARACTERS = 300;

/**
 * Sends a notice as a mail, in text and HTML. Answers with the addresses that the server did not take, where it took others.
 *
 * @param id the same for the same notice, however often it is sent: readers show it once.
 * @throws IoError without the password, also where the server has sent that back. @throws UnsupportedError where nodemailer
 * is not installed.
 */
export async function sendMail(
  mail: MailSection,
  id: string,
  notice: Told,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { createTransport } = await loadNodemailer();
  const { host, tls = "starttls", user, password = "", from, to } = mail;
  const port = mail.port ?? PORTS[tls];
  const socket = new Socket();
  const transport = createTransport({
    socket,
    ...{ host, port, secure: tls === "implicit", requireTLS: tls === "starttls", ignoreTLS: tls === "none" },
    ...(user !== undefined && { auth: { user, pass: password } }),
    tls: { minVersion: "TLSv1.2", ...(mail.ca !== undefined && { ca: trusted(mail.ca) }) },
    ...{ connectionTimeout: SILENCE_MS, greetingTimeout: SILENCE_MS, socketTimeout: SILENCE_MS },
    ...{ dnsTimeout: SILENCE_MS, disableFileAccess: true, disableUrlAccess: true },
  });
  const tooLong = Promise.withResolvers<never>();
  const giveUp = () => tooLong.reject(new Error("it did not answer in time"));
  const timer = setTimeout(giveUp, WHOLE_MS);
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  try {
    const sending = transport.sendMail({
      ...{ from: mailbox(from), to: to.map(mailbox), subject: titleOf(notice) },
      ...{ text: textOf(notice), html: htmlOf(notice) },
      messageId: `<${id}@${mailbox(from).address.split("@")[1]}>`,
      // Nobody's holiday answers it.
      headers: { "Auto-Submitted": "auto-generated" },
    });
    const { rejected } = await Promise.race([sending, tooLong.promise]);
    return rejected.map((address) => printable(address));
  } catch (error) {
    const reason = withoutSecrets(reasonOf(error), [user ?? "", password]);
    throw new IoError(`${host}:${port} did not take the mail: ${reason}.`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
    transport.close();
    socket.destroy(); // one that was sent to has ended by itself
  }
}

/** `Backups <backups@example.com>`, or the address alone. */
function mailbox(text: string): { readonly name: string; readonly address: string } {
  const [, name = "", address = text] = /^(.*?)\s*<(.*)>$/.exec(text) ?? [];
  return { name, address };
}

/** Those of Node, and those of the file. */
function trusted(file: string): string[] {
  try {
    return [...rootCertificates, readFileSync(file, "utf8")];
  } catch (error) {
    throw toReadError(error, file);
  }
}

/** A server may send back what it was sent. */
function withoutSecrets(text: string, [user, password]: readonly [string, string]): string {
  const base64 = (secret: string) => Buffer.from(secret).toString("base64");
  const secrets = [password, base64(password), base64(`\0${user}\0${password}`)];
  let told = text;
  for (const secret of secrets) if (password !== "") told = told.replaceAll(secret, "***");
  return printable(told).slice(0, MOST_CHARACTERS).replace(/\.$/, "");
}

async function loadNodemailer(): Promise<typeof Nodemailer> {
  try {
    return await import("nodemailer");
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    throw new UnsupportedError("Mails need nodemailer, which is not installed: npm install nodemailer", {
      cause: error,
    });
  }
}
