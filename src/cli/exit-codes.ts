/** What the process answers with. Part of the public interface; the help text lists them. */
export const EXIT = { done: 0, failed: 1, usage: 2, damage: 3, partly: 4, interrupted: 130 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `Exit codes:
  0    done
  1    failed; doctor found a problem, status or check what is overdue
  2    wrong arguments: an unknown option, a bad value, or something that does not exist; nothing was done
  3    verify, scrub, copy or audit --verify found damage
  4    done, but something was skipped, left out or postponed; the answer says what, in text and JSON
  130  interrupted`;
