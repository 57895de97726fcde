import { dirname } from "node:path";
import { PIN_ORDER, Placer } from "../../fs/place.ts";
import { captureTable } from "../../lance/capture.ts";
import { BackupStrategy } from "../backup-strategy.ts";
import type { Strategy } from "./strategy.ts";

/** Links to the newest version's files, in the journal entry itself; they go with it. */
export const lanceVersion: Strategy = {
  name: BackupStrategy.LanceVersion,
  pathOf: () => undefined,
  claim: () => true,
  tablesDirectory: (entry) => entry.pins,
  async capture({ dataset, target, signal, durable }) {
    const placer = new Placer(PIN_ORDER, { syncLinked: durable });
    const capture = await captureTable(dataset, { target, placer, history: "latest", signal });
    if (capture) await placer.sync([dirname(target)]);
    return capture;
  },
  seal: async () => undefined,
  discard: async () => undefined,
};
