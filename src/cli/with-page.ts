import { reasonOf } from "../fs/io.ts";
import type { PageToken } from "../page/access-token.ts";
import { pageOptionsOf, pageSettings } from "../page/page-options.ts";
import { type ReplaceablePage, serveReplaceable } from "../page/serve-page.ts";
import type { BackupService } from "../policy/backup-service.ts";
import type { PolicySet } from "../policy/policy-set.ts";
import type { Context } from "./context.ts";
import type { Lasting } from "./stay.ts";

interface PageOfService {
  readonly page: NonNullable<PolicySet["page"]>;
  readonly tokens: () => readonly PageToken[];
  readonly isFirst: boolean;
}

/**
 * A service with its page. The page is there as long as something runs, also while a file that was read anew waits.
 *
 * @param of.tokens whose hold where it gives way to another, as the file has them by then.
 * @param of.isFirst whether a page that cannot be served keeps the service from starting, too.
 * @throws ValidationError where the page cannot be as it is to be.
 */
export function withPage(
  { screen, logger }: Pick<Context, "screen" | "logger">,
  service: BackupService,
  { page, tokens, isFirst }: PageOfService,
): Lasting {
  const options = { ...pageOptionsOf(page), logger };
  pageSettings(options);
  let served: ReplaceablePage | undefined;
  return {
    start: async () => {
      try {
        served = await serveReplaceable(service, options);
        screen.line(`The page is at ${served.url}`);
      } catch (error) {
        if (isFirst) throw error;
        logger.error("the page is not served", { reason: reasonOf(error) });
      }
      service.start();
    },
    giveWay: () => served?.giveWay(tokens()),
    stop: async (how) => {
      await service.stop(how);
      await served?.close();
    },
  };
}
