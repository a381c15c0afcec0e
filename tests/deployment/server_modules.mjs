/**
 * Runs pieces of JavaScript in which the server's own modules are at hand: a line of JSON with a function's body and
 * its arguments in, a line with what it returns or throws out.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

const [, , folder] = process.argv;
const MODULES = [
  ...[
    "values/keys",
    "values/ids",
    "values/values",
    "values/validation",
    "values/identifiers",
    "values/handles",
    "values/timestamps",
  ],
  ...[
    "database/sorted_index",
    "database/tables",
    "database/transaction",
    "database/history",
    "database/query",
    "database/documents",
    "database/index_range",
  ],
  ...[
    "database/search",
    "database/expressions",
    "database/user_error",
    "errors",
    "push/crons",
    "push/diffs",
    "isolates/programs",
    "deployment",
  ],
  ...[
    "running/clock",
    "running/cron_times",
    "running/storage",
    "running/services",
    "running/failure",
    "running/targets",
  ],
  ...["transfer/formats", "transfer/imports", "transfer/exports", "transfer/zip"],
  ...["persistence/journal", "persistence/store", "api/system_functions"],
];
const loaded = await Promise.all(MODULES.map((name) => import(new URL(`${name}.ts`, folder).href)));
const server = Object.assign({}, ...loaded);

/** A schema: each table's indexes by their names, or `{indexes, staged, search, vector, document}`. */
const schema = (tables, { schemaValidation = true } = {}) => ({
  schemaValidation,
  tables: Object.entries(tables).map(([tableName, given]) => {
    const isPlain = Object.values(given).every(Array.isArray);
    const {
      indexes = {},
      staged = {},
      search = {},
      vector = {},
      document = null,
    } = isPlain ? { indexes: given } : given;
    const database = (all) =>
      Object.entries(all).map(([indexDescriptor, fields]) => ({
        indexDescriptor,
        fields: [...fields, "_creationTime"],
      }));
    const named = (all) =>
      Object.entries(all).map(([indexDescriptor, index]) => ({ indexDescriptor, ...index }));
    return {
      ...{
        tableName,
        documentType: document,
        indexes: database(indexes),
        stagedDbIndexes: database(staged),
      },
      ...{
        searchIndexes: named(search),
        stagedSearchIndexes: [],
        vectorIndexes: named(vector),
        stagedVectorIndexes: [],
      },
    };
  }),
});

/** The app's tables. */
const open = (tables = {}) => {
  const made = new server.Tables();
  made.useSchemas(new Map([["", schema(tables)]]));
  return made;
};

const begin = (tables, now = 1000) => new server.Transaction(tables, now);

/** What `work` returns, once what it wrote is committed. */
const commit = (tables, work, history = null) => {
  const transaction = begin(tables);
  const value = work(transaction);
  history?.add(transaction);
  transaction.commit();
  return value;
};

/** The rows of a table in the order of an index. */
const rows = (tables, table, index = "by_creation_time", range = [], order = "asc") => {
  const source = { type: "IndexRange", indexName: `${table}.${index}`, range, order };
  const stream = new server.QueryStream(begin(tables), "", { source, operators: [] });
  const found = [];
  for (let row = stream.next(); row !== null; row = stream.next()) found.push(row);
  return found;
};

/** Without what the system adds. */
const plain = (documents) => documents.map(({ _id, _creationTime, ...fields }) => fields);

/** What `work` throws. */
const thrown = async (work) => {
  try {
    await work();
  } catch (error) {
    return error.message;
  }
  return null;
};

/** What a push of the app leaves, as far as documents, jobs and crons go; `functions`: kinds by path. */
const push = ({ tables = {}, functions = {}, crons = [], schemaValidation = true } = {}) => {
  const modules = new Map();
  for (const [name, kind] of Object.entries(functions)) {
    const [module, own] = name.split(":");
    const known = modules.get(`${module}.js`) ?? {
      functions: [],
      httpActions: [],
      httpRoutes: null,
      crons: null,
    };
    known.functions.push({
      name: own,
      udfType: kind,
      visibility: { kind: "public" },
      args: null,
      returns: null,
      pos: null,
    });
    modules.set(`${module}.js`, known);
  }
  modules.set("crons.js", { functions: [], httpActions: [], httpRoutes: null, crons });
  const definition = {
    ...{ path: "", name: null, httpPrefix: null, childComponents: [], httpMounts: {} },
    ...{ exports: { type: "branch", branch: [] }, envVars: [] },
  };
  const app = {
    definition,
    schema: schema(tables, { schemaValidation }),
    functions: modules,
    modules: new Map(),
    serverVersion: "1.48.0",
  };
  return {
    ...{
      id: "push",
      modules: new Map(),
      definitions: new Map([["", app]]),
      auth: [],
      nodeDependencies: [],
      env: {},
    },
    tree: { definitionPath: "", componentPath: "", children: [] },
  };
};

/** Real time, for as long as a piece runs: what follows from it can be told exactly. */
const START = Date.UTC(2026, 0, 1);
const realNow = Date.now;
const stopTime = (at = START) => (Date.now = () => at);

/**
 * A deployment without isolates and ports. `ran` holds what its scheduler ran: `[path, args, milliseconds since START]`;
 * what is `run` instead of functions is given the invocation, and a transaction where it is a mutation.
 */
const deploy = (live = push(), { run = () => null } = {}) => {
  stopTime();
  const urls = { cloud: "http://127.0.0.1:1", site: "http://127.0.0.1:2" };
  const made = new server.Deployment({ close: () => {} }, urls, {
    name: "test",
    secret: "00".repeat(32),
  });
  deployments.push(made);
  const { services } = made;
  made.ran = [];
  services.functions.run = async (invocation) => {
    const { path: name, args, alongside = () => {} } = invocation;
    made.ran.push([name, args, services.clock.now() - START]);
    if (server.findTarget(made.live, "", name)?.kind !== "mutation")
      return { value: await run(invocation, null) };
    return await services.functions.transaction(async (transaction) => {
      const value = await run(invocation, transaction);
      alongside(transaction, { value, logLines: [], reads: new Set() });
      return { value };
    });
  };
  made.goLive = (next) => {
    made.live = next;
    services.useLive();
  };
  if (live !== null) made.goLive(live);
  return made;
};
const deployments = [];

const folders = [];
const newFolder = () => {
  const made = mkdtempSync(path.join(tmpdir(), "server-"));
  folders.push(made);
  return made;
};

const stores = new Set();
/** Let go of at the piece's end: its thread must not look for a folder that is gone. */
class Store extends server.Store {
  constructor(folder) {
    super(folder);
    stores.add(this);
  }

  async close() {
    if (stores.delete(this)) await super.close();
  }
}

const AsyncFunction = (async () => {}).constructor;
/** The exports of a module that is not among those at hand. */
const load = (name) => import(new URL(`${name}.ts`, folder).href);

const helpers = {
  load,
  schema,
  open,
  begin,
  commit,
  rows,
  plain,
  thrown,
  push,
  deploy,
  newFolder,
  stopTime,
  START,
  Store,
};
const scope = { ...server, ...helpers, server };
const names = Object.keys(scope).filter((name) => name !== "default");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { body, args } = JSON.parse(line);
  let answer;
  try {
    // A block: what the piece declares may be called as something here is.
    const work = new AsyncFunction(...names, "args", `{${body}\n}`);
    answer = { value: (await work(...names.map((name) => scope[name]), args)) ?? null };
  } catch (error) {
    answer = { error: error?.stack ?? String(error) };
  }
  // What would become due by real time must not run beside the next piece.
  for (const each of deployments.splice(0)) each.services.scheduler.pause();
  for (const each of stores) await each.close();
  Date.now = realNow;
  for (const each of folders.splice(0)) rmSync(each, { recursive: true, force: true });
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
