/**
 * System functions over documents and tables.
 * @import { Json } from "../../protocol.d.ts"
 * @import { Asked, SystemFunctions } from "../system_functions.mjs"
 */

import { QueryStream, readPage } from "../../database/query.mjs";
import { checkTableName } from "../../database/transaction.mjs";
import { UserError } from "../../database/user_error.mjs";
import { FunctionFailure } from "../../running/failure.mjs";

const MAX_DOCUMENTS = 4096;
const CLEARED_PER_PAGE = 4000;

/** @type {SystemFunctions} */
export const DOCUMENTS = {
  // Our harness's own: `addDocument` does not say the ids.
  "convex_eval/insert": ({ transaction, component, args }) =>
    args.documents.map((/** @type {Json} */ document) => transaction.insert(component, args.table, document)),
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
  "frontend/getById": ({ transaction, component, args }) => transaction.get(component, { id: args.id, isSystem: false }),
  "frontend/listById": ({ transaction, component, args }) =>
    args.ids.map((/** @type {{ id: string }} */ { id }) => transaction.get(component, { id, isSystem: false })),
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
    for (const id of [...(args.ids ?? all)]) transaction.patch(component, { id, value: args.fields });
    return { success: true };
  },
  "frontend/paginatedTableDocuments": (asked) => {
    if (asked.args.filters != null) throw new UserError("Filters of documents are not supported by the embedded deployment.");
    return page(asked, "desc");
  },
  "frontend/getTableMapping": ({ transaction, component }) =>
    Object.fromEntries(transaction.tables.of(component).map(({ number, name }) => [String(number), name])),
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

/** @template {{ isSystem: boolean }} T @param {T[]} tables */
function userTables(tables) {
  return tables.filter((table) => !table.isSystem);
}

/** @param {Asked} asked @param {"asc" | "desc"} order */
function page({ transaction, component, args }, order) {
  const { numItems, cursor = null } = args.paginationOpts;
  const source = { type: /** @type {const} */ ("FullTableScan"), tableName: args.table, order };
  return readPage(transaction, component, { query: { source, operators: [] }, cursor, pageSize: numItems });
}

/** @param {Asked} asked */
function tableSize({ transaction, component, args }) {
  transaction.dependOn(component, args.tableName);
  return transaction.tables.find(component, args.tableName)?.documents.size ?? 0;
}

/** @param {Asked} asked */
function addDocuments({ transaction, component, args }) {
  const { table, documents } = args;
  if (documents.length > MAX_DOCUMENTS) {
    return { success: false, error: `At most ${MAX_DOCUMENTS} documents can be added at once.` };
  }
  try {
    for (const document of documents) transaction.insert(component, table, document);
  } catch (error) {
    if (error instanceof UserError) throw new FunctionFailure(`Uncaught ConvexError: ${error.message}`, error.message);
    throw error;
  }
  return { success: true };
}

/** @param {Asked} asked the newest first */
function listTableScan({ transaction, component, args }) {
  const source = { type: /** @type {const} */ ("FullTableScan"), tableName: args.table, order: /** @type {const} */ ("desc") };
  const stream = new QueryStream(transaction, component, { source, operators: [{ limit: Number(args.limit) }] });
  const found = [];
  for (let document = stream.next(); document !== null; document = stream.next()) found.push(document);
  return found;
}

/** @param {Asked} asked */
function clearTablePage({ transaction, component, args }) {
  const table = transaction.tables.find(component, args.tableName);
  const some = [...(table?.documents.values() ?? [])].slice(0, CLEARED_PER_PAGE);
  for (const document of some) transaction.remove(component, { id: document["_id"] ?? null });
  return { deleted: some.length, hasMore: (table?.documents.size ?? 0) > 0, continueCursor: "" };
}

/** @param {Asked} asked */
function createTable({ deployment, transaction, component, args }) {
  checkTableName(args.table);
  if (args.table.startsWith("_")) throw new UserError(`${args.table} is a reserved table name.`);
  const { tables } = transaction;
  tables.create(component, args.table);
  transaction.afterwards(() => {
    const { journal } = deployment.services;
    journal?.tables(tables);
  });
  return null;
}
