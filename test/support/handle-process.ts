// A program that holds handles on the table `main` of the database named by its first argument. Over its message
// channel it is told to open a set of them, one for each operation, and to carry out an operation by its handle.
import { connect, type Table } from "@lancedb/lancedb";
import { HANDLE_OPERATION_NAMES, HANDLE_OPERATIONS, type HandleOperationName } from "./handle-operations.ts";

export type HandleRequest =
  | { readonly open: string }
  | { readonly use: string; readonly name: HandleOperationName; readonly n: number };

const db = await connect(process.argv[2] ?? "");
const handles = new Map<string, Table>();

process.on("message", async (request: HandleRequest) => {
  try {
    if ("open" in request) await open(request.open);
    else
      await HANDLE_OPERATIONS[request.name].run(
        handles.get(`${request.use} ${request.name}`) as Table,
        request.n,
      );
    process.send?.({ ok: true });
  } catch (error) {
    process.send?.({ ok: false, error: String(error) });
  }
});

async function open(set: string): Promise<void> {
  for (const name of HANDLE_OPERATION_NAMES) handles.set(`${set} ${name}`, await db.openTable("main"));
}
