/** System functions over documents and tables. */

import { QueryStream, readPage } from "../../database/query.ts";
import { pushedNameProblem } from "../../values/identifiers.ts";
import { UserError } from "../../database/user_error.ts";
import { FunctionFailure } from "../../running/failure.ts";
import type { Json } from "../../protocol.ts";
import type { Asked, SystemFunctions } from "../system_functions.ts";

const MAX_DOCUMENTS = 4096;
const CLEARED_PER_PAGE = 4000;

export const DOCUMENTS: SystemFunctions = {
  // Our harness's own: `addDocument` does not say the ids.
  "convex_eval/insert": ({ transaction, component, args }) =>
    args.documents.map((document: Json) => transaction.insert(component, args.table, document)),
  "convex_eval/delete": ({ transaction, component, args }) => {
    for (const id of args.ids) transaction.remove(component, { id });
    return null;
  },
  "convex_eval/documents": ({ transaction, component, args }) => [
    ...(transaction.tables.find(component, args.table)?.inOrder() ?? []),
  ],
  "frontend/addDocument": addDocuments,
  "frontend/listTableScan": listTableScan,
  "frontend/clearTablePage": clearTablePage,
  "frontend/createTable": createTable,
  "frontend/getById": ({ transaction, component, args }) =>
    transaction.get(component, { id: args.id, isSystem: false }),
  "frontend/listById": ({ transaction, component, args }) =>
    args.ids.map(({ id }: { id: string }) => transaction.get(component, { id, isSystem: false })),
  "frontend/deleteDocuments": ({ transaction, component, args }) => {
    for (const { id } of args.toDelete) transaction.remove(component, { id });
    return { success: true };
  },
  "frontend/replaceDocument": ({ transaction, component, args }) => {
    transaction.replace(component, { id: args.id, value: args.document });
    return { success: true };
  },
  "frontend/patchDocumentsFields": ({ transaction, component, args }) => {
    const all = transaction.tables.find(component, args.table)?.documents.keys() ?? [];
    for (const id of [...(args.ids ?? all)])
      transaction.patch(component, { id, value: args.fields });
    return { success: true };
  },
  "frontend/paginatedTableDocuments": (asked) => {
    if (asked.args.filters != null)
      throw new UserError("Filters of documents are not supported by the embedded deployment.");
    return page(asked, "desc");
  },
  "frontend/getTableMapping": ({ transaction, component }) =>
    Object.fromEntries(
      transaction.tables.of(component).map(({ number, name }) => [String(number), name]),
    ),
  "frontend/tableSize": tableSize,
  "frontend/tableSize:sizeOfAllTables": ({ transaction, component }) => {
    const own = userTables(transaction.tables.of(component));
    for (const { name } of own) transaction.dependOn(component, name);
    return own.reduce((sum, { documents }) => sum + documents.size, 0);
  },
  "cli/tables": ({ transaction, component }) => {
    const names = userTables(transaction.tables.of(component)).map(({ name }) => ({ name }));
    return { page: names, isDone: true, continueCursor: "end" };
  },
  "cli/tableData": (asked) => page(asked, asked.args.order ?? "asc"),
  "cli/tableSize": tableSize,
  "cli/queryTable": ({ transaction, component, args }) => {
    transaction.dependOn(component, args.tableName);
    return transaction.tables.find(component, args.tableName)?.version ?? 0;
  },
};

function userTables<T extends { isSystem: boolean }>(tables: T[]) {
  return tables.filter((table) => !table.isSystem);
}

function page({ transaction, component, args }: Asked, order: "asc" | "desc") {
  const { numItems, cursor = null } = args.paginationOpts;
  const source = { type: "FullTableScan" as const, tableName: args.table, order };
  return readPage(transaction, component, {
    query: { source, operators: [] },
    cursor,
    pageSize: numItems,
  });
}

function tableSize({ transaction, component, args }: Asked) {
  transaction.dependOn(component, args.tableName);
  return transaction.tables.find(component, args.tableName)?.documents.size ?? 0;
}

function addDocuments({ transaction, component, args }: Asked) {
  const { table, documents } = args;
  if (documents.length > MAX_DOCUMENTS) {
    return { success: false, error: `At most ${MAX_DOCUMENTS} documents can be added at once.` };
  }
  try {
    for (const document of documents) transaction.insert(component, table, document);
  } catch (error) {
    if (error instanceof UserError)
      throw new FunctionFailure(`Uncaught ConvexError: ${error.message}`, error.message);
    throw error;
  }
  return { success: true };
}

/** @param asked the newest first */
function listTableScan({ transaction, component, args }: Asked) {
  const source = { type: "FullTableScan" as const, tableName: args.table, order: "desc" as const };
  const stream = new QueryStream(transaction, component, {
    source,
    operators: [{ limit: Number(args.limit) }],
  });
  const found = [];
  for (let document = stream.next(); document !== null; document = stream.next())
    found.push(document);
  return found;
}

function clearTablePage({ transaction, component, args }: Asked) {
  const table = transaction.tables.find(component, args.tableName);
  const some = [...(table?.documents.values() ?? [])].slice(0, CLEARED_PER_PAGE);
  for (const document of some) transaction.remove(component, { id: document["_id"] ?? null });
  return { deleted: some.length, hasMore: (table?.documents.size ?? 0) > 0, continueCursor: "" };
}

function createTable({ deployment, transaction, component, args }: Asked) {
  const problem = pushedNameProblem(args.table.replace(/^_/, ""));
  if (problem !== null)
    throw new UserError(`Invalid table name: ${JSON.stringify(args.table)}. ${problem}`);
  if (args.table.startsWith("_")) throw new UserError(`${args.table} is a reserved table name.`);
  const { tables } = transaction;
  tables.create(component, args.table);
  transaction.afterwards(() => {
    const { journal } = deployment.services;
    journal?.tables(tables);
  });
  return null;
}
