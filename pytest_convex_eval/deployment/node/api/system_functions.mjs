/**
 * The system functions that the CLI and tools call: only admins may.
 * @import { Json, Push, Schema } from "../protocol.d.ts"
 * @import { Deployment } from "../deployment.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { FunctionResult } from "../running/functions.mjs"
 */

import { APP } from "../definitions.mjs";
import { instances } from "../diffs.mjs";
import { QueryStream, readPage } from "../database/query.mjs";
import { UserError } from "../database/user_error.mjs";
import { FunctionFailure } from "../running/failure.mjs";
import { definitionOf } from "../running/targets.mjs";
import { EXPORTS } from "../transfer/exports.mjs";
import { IMPORTS } from "../transfer/imports.mjs";
import { integer, parseValue } from "../values/values.mjs";

const PREFIX = "_system/";
const MAX_DOCUMENTS = 4096;
const CLEARED_PER_PAGE = 4000;

/** @typedef {{ deployment: Deployment, transaction: Transaction, component: string, args: any }} Asked */

/** @type {Record<string, (asked: Asked) => unknown>} */
const FUNCTIONS = {
  // Our harness's own: `addDocument` does not say the ids.
  "convex_eval/insert": ({ transaction, component, args }) =>
    args.documents.map((/** @type {Json} */ document) => transaction.insert(component, args.table, document)),
  "convex_eval/delete": ({ transaction, component, args }) => {
    for (const id of args.ids) transaction.remove(component, { id });
    return null;
  },
  "convex_eval/documents": ({ transaction, component, args }) => [
    ...(transaction.tables.find(component, args.table)?.documents.values() ?? []),
  ],
  "frontend/addDocument": addDocuments,
  "frontend/listTableScan": listTableScan,
  "frontend/clearTablePage": clearTablePage,
  "frontend/getSchemas": ({ deployment, component }) => getSchemas(schemaOf(deployment.live, component)),
  "frontend/listCronJobs": listCronJobs,
  "frontend/deploymentState:deploymentState": () => ({ state: "running" }),
  "frontend/convexCloudUrl": ({ deployment }) => deployment.urls.cloud,
  "frontend/convexSiteUrl": ({ deployment }) => deployment.urls.site,
  "frontend/components:list": ({ deployment }) => listComponents(deployment.live),
  "frontend/listEnvironmentVariables": ({ deployment }) => listVariables(deployment),
  "frontend/getById": ({ transaction, component, args }) => transaction.get(component, { id: args.id, isSystem: false }),
  "frontend/deleteDocuments": ({ transaction, component, args }) => {
    for (const { id } of args.toDelete) transaction.remove(component, { id });
    return { success: true };
  },
  "frontend/replaceDocument": ({ transaction, component, args }) => {
    transaction.replace(component, { id: args.id, value: args.document });
    return { success: true };
  },
  "frontend/patchDocumentsFields": ({ transaction, component, args }) => {
    for (const id of args.ids ?? []) transaction.patch(component, { id, value: args.fields });
    return { success: true };
  },
  "cli/modules:apiSpec": apiSpec,
  "cli/convexUrl:cloudUrl": ({ deployment }) => deployment.urls.cloud,
  "cli/convexUrl:siteUrl": ({ deployment }) => deployment.urls.site,
  "cli/tables": ({ transaction, component }) => {
    const names = transaction.tables.of(component).filter((table) => !table.isSystem).map(({ name }) => ({ name }));
    return { page: names, isDone: true, continueCursor: "end" };
  },
  "cli/tableData": ({ transaction, component, args }) => {
    const { numItems, cursor = null } = args.paginationOpts;
    const source = { type: /** @type {const} */ ("FullTableScan"), tableName: args.table, order: args.order ?? "asc" };
    return readPage(transaction, component, { query: { source, operators: [] }, cursor, pageSize: numItems });
  },
  "cli/tableSize": ({ transaction, component, args }) => transaction.tables.find(component, args.tableName)?.documents.size ?? 0,
  "cli/queryTable": ({ transaction, component, args }) => {
    transaction.dependOn(component, args.tableName);
    return transaction.tables.find(component, args.tableName)?.version ?? 0;
  },
  "cli/queryImport": ({ deployment, transaction, args }) => {
    transaction.dependOn(APP, IMPORTS);
    return deployment.imports.describe(String(args.importId));
  },
  "cli/queryImport:list": ({ deployment, transaction }) => {
    transaction.dependOn(APP, IMPORTS);
    return deployment.imports.list();
  },
  "cli/exports:getLatest": ({ deployment, transaction }) => {
    transaction.dependOn(APP, EXPORTS);
    return deployment.exports.latest();
  },
  "cli/queryEnvironmentVariables": ({ deployment }) => listVariables(deployment),
  "cli/queryEnvironmentVariables:get": ({ deployment, args }) => {
    const value = deployment.variables.get(args.name);
    return value === undefined ? null : { name: args.name, value };
  },
};

/** @param {string} path */
export function isSystemFunction(path) {
  return path.startsWith(PREFIX);
}

/**
 * @param {Deployment} deployment @param {string} path @param {Json} args
 * @returns {Promise<FunctionResult>}
 * @throws {FunctionFailure}
 */
export async function runSystemFunction(deployment, path, args) {
  const name = path.slice(PREFIX.length).replace(/\.js(?=:|$)/, "").replace(/:default$/, "");
  const run = FUNCTIONS[name];
  if (run === undefined) throw new FunctionFailure(`Could not find public function for '${path}'.`);
  const given = /** @type {any} */ (Array.isArray(args) ? (args[0] ?? {}) : args);
  const component = typeof given.componentId === "string" ? given.componentId : APP;
  let reads = new Set();
  const value = await deployment.services.functions.transaction((transaction) => {
    reads = transaction.reads;
    try {
      return run({ deployment, transaction, component, args: given });
    } catch (error) {
      // Arguments are used as they came: what they break is the caller's fault.
      if (error instanceof TypeError) throw new FunctionFailure(`Invalid arguments for ${path}: ${error.message}`);
      throw error;
    }
  });
  return { value: /** @type {Json} */ (value ?? null), logLines: [], reads };
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
  const page = [...(table?.documents.values() ?? [])].slice(0, CLEARED_PER_PAGE);
  for (const document of page) transaction.remove(component, { id: document["_id"] ?? null });
  return { deleted: page.length, hasMore: (table?.documents.size ?? 0) > 0, continueCursor: "" };
}

/** @param {Push | null} push @param {string} component @returns {Schema | null} */
function schemaOf(push, component) {
  return definitionOf(push, component)?.definition.schema ?? null;
}

/** @param {Schema | null} schema */
function getSchemas(schema) {
  return schema === null ? {} : { active: JSON.stringify(schema) };
}

/** @param {Asked} asked */
function apiSpec({ deployment, component }) {
  const modules = [...(definitionOf(deployment.live, component)?.definition.functions ?? [])];
  const parse = (/** @type {string | null} */ json) => (json === null ? { type: "any" } : JSON.parse(json));
  return modules.flatMap(([path, { functions, httpRoutes }]) => [
    ...functions.map((each) => ({
      identifier: `${path}:${each.name}`,
      functionType: each.udfType,
      visibility: each.visibility ?? { kind: "public" },
      args: parse(each.args),
      returns: parse(each.returns),
    })),
    ...(httpRoutes ?? []).map((route) => ({ functionType: "HttpAction", method: route.method, path: route.path })),
  ]);
}

/** @param {Asked} asked */
function listCronJobs({ deployment, component }) {
  const timers = deployment.services.scheduler.crons().filter((each) => each.component === component);
  return timers.map(({ cron, next }, i) => {
    const schedule = Object.entries(cron.schedule).map(([name, value]) => [
      name,
      typeof value === "number" ? integer(BigInt(value)) : value,
    ]);
    const udfArgs = { $bytes: Buffer.from(JSON.stringify(cron.args)).toString("base64") };
    const [path = "", function_ = "default"] = cron.function.split(":");
    const udfPath = `${path.replace(/\.js$/, "")}.js:${function_}`;
    const nextTs = next === null ? null : integer(BigInt(Math.round(next * 1e6)));
    const id = `cron-${i}`;
    return {
      ...{ _id: id, _creationTime: 0, name: cron.name },
      cronSpec: { udfPath, udfArgs, cronSchedule: Object.fromEntries(schedule) },
      lastRun: null,
      nextRun: { cronJobId: id, state: { type: "pending" }, prevTs: null, nextTs },
    };
  });
}

/** @param {Push | null} push */
function listComponents(push) {
  return (push === null ? [] : instances(push.tree)).map(({ componentPath, definitionPath }) => ({
    id: componentPath,
    name: push?.definitions.get(definitionPath)?.definition.name ?? null,
    path: componentPath,
    ...{ args: {}, state: "active", httpPrefix: null },
  }));
}

/** @param {Deployment} deployment */
function listVariables(deployment) {
  return [...deployment.variables].map(([name, value], i) =>
    parseValue({ _id: `variable-${i}`, _creationTime: 0, name, value }),
  );
}
