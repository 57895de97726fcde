import { execFile } from "node:child_process";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { BackupService, loadPolicies, PolicyFileError } from "../../src/index.ts";
import type { Notice } from "../../src/policy/notice.ts";
import { sendMail } from "../../src/policy/send-mail.ts";
import { newCertificate } from "../support/certificate.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import {
  newMailServer,
  newSilentServer,
  newToldService,
  type ReceivedMail,
} from "../support/notice-receivers.ts";
import { writePolicies } from "../support/policies.ts";
import { TestClock } from "../support/test-clock.ts";

const HOUR = 3_600_000;
const PASSWORD = "s3cret pass";
const MAIL = `type: mail, host: 127.0.0.1, from: "Backups <backup@example.com>", to: [ops@example.com]`;

/** The lines before the first empty one, with those that were folded in one. */
function headersOf({ text }: ReceivedMail): string[] {
  return (text.split("\r\n\r\n")[0] ?? "").replaceAll(/\r\n[ \t]+/g, " ").split("\r\n");
}

/** The parts of a mail, decoded. */
function partsOf({ text }: ReceivedMail): { plain: string; html: string } {
  const part = (type: string) => {
    const [, headers = "", body = ""] =
      new RegExp(`(Content-Type: ${type}[^]*?)\r\n\r\n([^]*?)\r\n--`).exec(text) ?? [];
    if (headers.includes("base64")) return Buffer.from(body, "base64").toString("utf8");
    const bytes = body
      .replaceAll("=\r\n", "")
      .replaceAll(/=([0-9A-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
    return headers.includes("quoted-printable") ? Buffer.from(bytes, "latin1").toString("utf8") : body;
  };
  return { plain: part("text/plain"), html: part("text/html") };
}

const notice = (rest: Partial<Notice> = {}): Notice => ({
  ...{ kind: "failure", severity: "error", policy: "one", message: "Policy one failed: no disk." },
  ...{ repository: "/vault", host: "here", failures: 1 },
  ...rest,
});
const section = (rest: object) => ({
  ...{ type: "mail" as const, host: "127.0.0.1", from: "backup@example.com", to: ["ops@example.com"] },
  ...rest,
});
const never = new AbortController().signal;

describe("by STARTTLS, with a certificate that the file names", () => {
  test("a failure is told in text and HTML, with the password filled in from a file", async () => {
    const { file, cert, key } = newCertificate(await newDirectory());
    const { mails, port } = await newMailServer({ cert, key, authOptional: false });
    const secret = join(await newDirectory(), "password");
    writeFileSync(secret, `${PASSWORD}\n`);
    const { service, away, logged, set } = await newToldService(
      `[{ ${MAIL}, port: ${port}, ca: "${file}", user: me, password: "\${file:${secret}}" }]`,
    );
    away();
    await service.run("one");
    await service.stop();
    expect(mails).toMatchObject([
      { isSecure: true, user: "me", from: "backup@example.com", to: ["ops@example.com"] },
    ]);
    const mail = mails[0]!;
    expect(headersOf(mail)).toContain("Subject: [error] Backup one failed");
    expect(headersOf(mail)).toContain("Auto-Submitted: auto-generated");
    const { plain, html } = partsOf(mail);
    for (const part of [plain, html]) expect(part).toMatch(/Policy one failed: .*db/);
    // Nothing is asked for from anywhere when it is opened.
    expect(html).not.toMatch(/src=|href=|url\(/i);
    expect(logged.filter(({ message }) => message.includes("notice"))).toEqual([]);
    const told = JSON.stringify([logged, set.get("one")?.show()]);
    expect(told).not.toContain(PASSWORD);
  });

  test("one that nobody has named is not trusted", async () => {
    const { cert, key } = newCertificate(await newDirectory());
    const { mails, logins, port } = await newMailServer({ cert, key });
    const sending = sendMail(section({ port, user: "me", password: PASSWORD }), "id", notice(), never);
    await expect(sending).rejects.toThrow(/127\.0\.0\.1:\d+ did not take the mail: .*self-signed/);
    expect([mails, logins]).toEqual([[], []]);
  });

  test("a server that does not offer it is sent nothing, and no password", async () => {
    const { mails, logins, port } = await newMailServer({
      disabledCommands: ["STARTTLS"],
      allowInsecureAuth: true,
    });
    const sending = sendMail(section({ port, user: "me", password: PASSWORD }), "id", notice(), never);
    await expect(sending).rejects.toThrow(/did not take the mail: .*STARTTLS/);
    expect([mails, logins]).toEqual([[], []]);
  });
});

test("by TLS from the beginning", async () => {
  const { file, cert, key } = newCertificate(await newDirectory());
  const { mails, port } = await newMailServer({ cert, key, secure: true });
  await sendMail(section({ port, tls: "implicit", ca: file }), "id", notice(), never);
  expect(mails).toMatchObject([{ isSecure: true }]);
});

test("without TLS where the file says so; the same id is the same mail", async () => {
  const { mails, port } = await newMailServer({ disabledCommands: ["STARTTLS", "AUTH"] });
  for (let i = 0; i < 2; i++) await sendMail(section({ port, tls: "none" }), "msg_1", notice(), never);
  expect(mails.map(({ isSecure }) => isSecure)).toEqual([false, false]);
  for (const mail of mails) expect(headersOf(mail)).toContain("Message-ID: <msg_1@example.com>");
});

test("a wrong password is a warning that does not hold it, also where the server sends it back", async () => {
  const { file, cert, key } = newCertificate(await newDirectory());
  const { mails, logins, port } = await newMailServer({ cert, key });
  const { service, logged } = await newToldService(
    `[{ ${MAIL}, port: ${port}, ca: "${file}", user: me, password: "\${PASSWORD}", on: [success] }]`,
    { env: { PASSWORD: "wr0ng-one" } },
  );
  expect((await service.run("one")).outcome).toBe("success");
  await service.stop();
  expect(mails).toEqual([]);
  // Some servers lock out who tries often.
  expect(logins).toEqual(["me"]);
  expect(logged).toContainEqual(
    expect.objectContaining({
      level: "warn",
      message: "a notice was not sent",
      meta: expect.objectContaining({ reason: expect.stringMatching(/no \*\*\* \*\*\*/) }),
    }),
  );
  expect(JSON.stringify(logged)).not.toMatch(/wr0ng|bWUAd3Iw|AG1lAHdy/);
});

test("addresses that the server does not take are told, where it takes others", async () => {
  const { mails, port } = await newMailServer({
    disabledCommands: ["STARTTLS", "AUTH"],
    onRcptTo: ({ address }, _session, callback) =>
      callback(address.startsWith("gone") ? new Error("nobody of that name") : null),
  });
  const to = ["gone@example.com", "ops@example.com"];
  const refused = await sendMail(section({ port, tls: "none", to }), "id", notice(), never);
  expect(refused).toEqual(["gone@example.com"]);
  expect(mails).toMatchObject([{ to: ["ops@example.com"] }]);
});

test("a mail server that hangs, and a webhook that never answers, hold up neither the run nor, for long, the end", async () => {
  const port = await newSilentServer();
  const { service, logged } = await newToldService(
    `[{ ${MAIL}, port: ${port}, on: [success] }, { type: webhook, url: "http://127.0.0.1:${port}/", on: [success] }]`,
  );
  expect((await service.run("one")).outcome).toBe("success");
  const started = performance.now();
  await service.stop();
  expect(performance.now() - started).toBeLessThan(60_000);
  const warnings = logged.filter(({ message }) => message === "a notice was not sent");
  expect(warnings).toHaveLength(2);
});

test("where many policies fail at once, three are told by themselves and the others in one mail; so is their first success", async () => {
  const { mails, port } = await newMailServer({ disabledCommands: ["STARTTLS", "AUTH"] });
  const directory = await newDirectory();
  const [files, away] = [join(directory, "files"), join(directory, "away")];
  mkdirSync(away);
  writeFileSync(join(away, "a"), "a");
  const names = Array.from({ length: 6 }, (_, i) => `policy-${i}-`);
  const what = `sources: [{ type: files, paths: [${files}] }], schedule: { full: 1d, retry_window: 1ms }`;
  const file = writePolicies(directory, {
    defaults: `notifications: [{ ${MAIL}, port: ${port}, tls: none }]`,
    policies: names.map((name) => `${name}: { ${what} }`),
  });
  const set = await loadPolicies(file);
  const clock = new TestClock(new Date());
  const { logger, logged } = recordingLogger();
  const runAll = async () => {
    const before = mails.length;
    const service = new BackupService(set, { logger, clock, stateDirectory: join(directory, "state") });
    await Promise.all(names.map((name) => service.run(name)));
    await service.stop();
    return mails.slice(before);
  };
  const subjectsOf = (some: readonly ReceivedMail[]) =>
    some.map((mail) => headersOf(mail).find((line) => line.startsWith("Subject: ")));
  const failed = await runAll();
  expect(subjectsOf(failed)).toEqual([
    ...Array(3).fill(expect.stringMatching(/^Subject: \[error\] Backup policy-\d+- failed$/)),
    "Subject: [error] Backups: 3 policies failed",
  ]);
  for (const part of ["plain", "html"] as const) {
    const parts = failed.map((mail) => partsOf(mail)[part]);
    for (const name of names)
      expect(parts.filter((text) => text.includes(`Policy ${name} failed: `))).toHaveLength(1);
  }
  // Each goes on to fail, of which nobody is told again today.
  clock.sleep(HOUR);
  expect(await runAll()).toEqual([]);
  renameSync(away, files);
  const again = await runAll();
  expect(subjectsOf(again).at(-1)).toBe("Subject: [info] Backups: 3 policies work again");
  expect(again).toHaveLength(4);
  expect(logged.filter(({ level, message }) => level === "warn" && message.includes("notice"))).toEqual([]);
});

test("what names and servers say is neither HTML nor a header", async () => {
  const { mails, port } = await newMailServer({ disabledCommands: ["STARTTLS", "AUTH"] });
  const hostile = `<script>alert(1)</script>"'&\r\nBcc: evil@example.com\r\n\r\n<img src=x onerror=alert(2)>\u202e`;
  await sendMail(
    section({ port, tls: "none" }),
    "id",
    notice({ policy: hostile, message: `Policy failed: ${hostile}`, repository: hostile, host: hostile }),
    never,
  );
  const [mail] = mails;
  expect(mail?.to).toEqual(["ops@example.com"]);
  expect(headersOf(mail!).filter((line) => /^bcc:/i.test(line))).toEqual([]);
  const { plain, html } = partsOf(mail!);
  expect(html).toContain("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;");
  expect(html).not.toMatch(/<script|<img|\u202e/);
  expect(plain).not.toMatch(/^Bcc:/m);
});

test("without nodemailer the error says what to install", async () => {
  const hide = `import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (name === "nodemailer") throw Object.assign(new Error("not there"), { code: "ERR_MODULE_NOT_FOUND" });
      return next(name, context);
    } });`;
  const source = new URL("../../src/policy/send-mail.ts", import.meta.url).href;
  const program = `import { sendMail } from ${JSON.stringify(source)};
    await sendMail({}, "id", {}, new AbortController().signal).catch(({ code, message }) => console.log(code, message));`;
  const hooks = `data:text/javascript,${encodeURIComponent(hide)}`;
  const args = ["--import", hooks, "--input-type=module", "-e", program];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toBe("UNSUPPORTED Mails need nodemailer, which is not installed: npm install nodemailer\n");
});

test.each([
  [
    "two addresses in one",
    `from: "a@b.c, d@e.f", to: [x@y.z]`,
    /notifications\.0\.from: it must be an address/,
  ],
  ["a line end in an address", `from: a@b.c, to: ["x@y.z\\nBcc: d@e.f"]`, /to\.0: it must be an address/],
  [
    "a password without TLS",
    `from: a@b.c, to: [x@y.z], tls: none, user: me, password: p4ss`,
    /only sent with TLS/,
  ],
  ["a password without a user", `from: a@b.c, to: [x@y.z], password: p4ss`, /must be given together/],
  ["nobody", "from: a@b.c, to: []", /to: it must not be empty/],
  [
    "both on and severity",
    "from: a@b.c, to: [x@y.z], on: [failure], severity: error",
    /severity: use either/,
  ],
  ["a port that there is not", "from: a@b.c, to: [x@y.z], port: 70000", /from 1 to 65535/],
])("refused in the file: %s", async (_what, text, expected) => {
  const file = writePolicies(await newDirectory(), {
    defaults: `notifications: [{ type: mail, host: mail.example.com, ${text} }]`,
    policies: "one: { sources: [{ type: lancedb, path: db }] }",
  });
  const error: unknown = await loadPolicies(file, {}).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(PolicyFileError);
  expect(String(error)).toMatch(expected);
  expect(String(error)).toContain("backup.yaml:3");
  expect(String(error)).not.toContain("p4ss");
});
