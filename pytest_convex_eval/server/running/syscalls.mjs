/**
 * What running functions may ask for.
 * @import { Json } from "../protocol.d.ts"
 * @import { PageRequest, Place, SerializedQuery } from "../database/query.mjs"
 * @import { VectorQuery } from "../database/search.mjs"
 * @import { Document } from "../database/sorted_index.mjs"
 * @import { Metric, Transaction } from "../database/transaction.mjs"
 * @import { Frame } from "./frame.mjs"
 * @import { Functions } from "./functions.mjs"
 * @import { Services } from "./services.mjs"
 * @import { Kind } from "./targets.mjs"
 */

import { QueryStream, readPage } from "../database/query.mjs";
import { vectorSearch } from "../database/search.mjs";
import { LIMITS } from "../database/transaction.mjs";
import { UserError } from "../database/user_error.mjs";
import { takeBack } from "./frame.mjs";
import { fetchOwn } from "./own_fetch.mjs";
import { display, functionHandle, resolveAddress } from "./targets.mjs";

/** @typedef {any} Args what the client library sends: checked where it is used */
/** @typedef {{ services: Services, functions: Functions, frame: Frame, args: Args }} Asked */

/** The rows of a query that were sent, and where each left off. @typedef {{ stream: QueryStream, places: Place[], size: number }} OpenStream */

/** Rows that are sent first where nobody says how many are wanted: all of most queries. */
const FIRST_BATCH = 16;
const MAX_BATCH = 256;
const MAX_BATCH_BYTES = 512 * 1024;

/** @type {Record<string, (asked: Asked, transaction: Transaction) => unknown>} of queries and mutations */
const READS = {
  rows: ({ frame, args }, transaction) => rows(frame, transaction, args),
  "1.0/queryPage": ({ frame, args }, transaction) => page(frame, transaction, args),
  "1.0/get": ({ frame, args }, transaction) => transaction.get(frame.component, args),
  "1.0/count": ({ frame, args }, transaction) => {
    transaction.dependOn(frame.component, args.table);
    return transaction.tables.find(frame.component, args.table)?.documents.size ?? 0;
  },
  "1.0/runUdf": async ({ services, functions, frame, args }, transaction) => {
    const kind = /** @type {Kind} */ (args.udfType === "mutation" ? "mutation" : "query");
    if (kind === "mutation") requireMutation(frame);
    const address = resolveAddress(services.push(), frame.component, args);
    const call = { kind, ...address, args: args.args };
    const run = () => transaction.within(args.transactionLimits ?? {}, () => functions.runNested(frame, call));
    return await (args.udfType === "snapshotQuery" ? transaction.onSnapshot(run) : run());
  },
  "1.0/storageGetUrl": ({ services, frame, args }, transaction) => services.storage.url(transaction, frame.component, args.storageId),
  "1.0/storageGetMetadata": ({ services, frame, args }, transaction) => services.storage.metadata(transaction, frame.component, args.storageId),
  "1.0/getTransactionMetrics": (_, transaction) => metrics(transaction),
};

/** @type {Record<string, (asked: Asked, transaction: Transaction) => unknown>} of mutations */
const WRITES = {
  "1.0/insert": ({ frame, args }, transaction) => ({ _id: transaction.insert(frame.component, args.table, args.value) }),
  "1.0/shallowMerge": ({ frame, args }, transaction) => nothing(transaction.patch(frame.component, args)),
  "1.0/replace": ({ frame, args }, transaction) => nothing(transaction.replace(frame.component, args)),
  "1.0/remove": ({ frame, args }, transaction) => nothing(transaction.remove(frame.component, args)),
  "1.0/schedule": ({ services, frame, args }, transaction) => services.scheduler.schedule(transaction, frame, args),
  "1.0/cancel_job": ({ services, frame, args }, transaction) => nothing(services.scheduler.cancel(transaction, frame.component, args.id)),
  "1.0/storageGenerateUploadUrl": ({ services, frame }) => services.storage.uploadUrl(frame.component),
  "1.0/storageDelete": ({ services, frame, args }, transaction) => nothing(services.storage.delete(transaction, frame.component, args.storageId)),
  "1.0/signJwt": ({ services, frame, args }, transaction) => services.ownTokens.sign(frame.component, transaction.now, args),
};

/** @type {Record<string, (asked: Asked) => unknown>} of actions */
const ACTIONS = {
  "1.0/actions/query": (asked) => runFrom(asked, "query"),
  "1.0/actions/mutation": (asked) => runFrom(asked, "mutation"),
  "1.0/actions/action": (asked) => runFrom(asked, "action"),
  "1.0/actions/schedule": (asked) => alone(asked, (transaction) => asked.services.scheduler.schedule(transaction, asked.frame, asked.args)),
  "1.0/actions/cancel_job": (asked) => alone(asked, (transaction) => nothing(asked.services.scheduler.cancel(transaction, asked.frame.component, asked.args.id))),
  "1.0/actions/vectorSearch": (asked) => alone(asked, (transaction) => vectors(asked, transaction)),
  "1.0/storageGenerateUploadUrl": ({ services, frame }) => services.storage.uploadUrl(frame.component),
  "1.0/storageGetUrl": (asked) => alone(asked, (transaction) => asked.services.storage.url(transaction, asked.frame.component, asked.args.storageId)),
  "1.0/storageGetMetadata": (asked) => alone(asked, (transaction) => asked.services.storage.metadata(transaction, asked.frame.component, asked.args.storageId)),
  "1.0/storageDelete": (asked) => alone(asked, (transaction) => nothing(asked.services.storage.delete(transaction, asked.frame.component, asked.args.storageId))),
  "1.0/storageStore": (asked) => alone(asked, (transaction) => store(asked, transaction)),
  "1.0/storageGet": (asked) => alone(asked, (transaction) => load(asked, transaction)),
  fetch: ({ services, args }) => fetchOwn((origin) => services.canReach(origin), args),
  "1.0/createServiceToken": withoutServices,
  "1.0/getServiceUrl": withoutServices,
};

/** @type {Record<string, (asked: Asked) => unknown>} of all */
const COMMON = {
  "1.0/getUserIdentity": ({ frame }) => frame.caller.user,
  "1.0/createFunctionHandle": ({ services, frame, args }) => functionHandle(resolveAddress(services.push(), frame.component, args)),
  "1.0/getFunctionMetadata": ({ frame }) => ({
    name: frame.target === null ? "http" : display(frame.target),
    componentPath: frame.component,
  }),
  "1.0/getDeploymentMetadata": ({ services }) => ({ name: services.name, region: null, class: "s16" }),
  "1.0/getRequestMetadata": ({ frame }) => ({
    ...(frame.caller.origin ?? { ip: null, userAgent: null }),
    requestId: frame.requestId,
    ...{ scheduledFunctionId: frame.scheduledId, authToken: frame.caller.token ?? null },
  }),
  "1.0/auditLog": () => null,
};

/**
 * Answers a syscall in JSON.
 * @param {Services} services @param {Functions} functions @param {Frame} frame @param {string} op @param {Json} args
 * @returns {Promise<string>}
 * @throws {UserError}
 */
export async function syscall(services, functions, frame, op, args) {
  const asked = { services, functions, frame, args: /** @type {Args} */ (args) };
  const common = COMMON[op];
  if (common !== undefined) return JSON.stringify(common(asked) ?? null);
  const { transaction } = frame;
  if (transaction === null) {
    const act = ACTIONS[op];
    if (act === undefined) throw unknown(op);
    return JSON.stringify((await act(asked)) ?? null);
  }
  const read = READS[op];
  const work = read ?? WRITES[op];
  if (work === undefined) throw unknown(op);
  if (read === undefined) requireMutation(frame);
  // In order: a called function's writes must not mix with its caller's.
  const done = frame.turn.then(() => work(asked, transaction));
  frame.turn = done.catch(() => {});
  return JSON.stringify((await done) ?? null);
}

/** @param {Asked} asked @returns {never} */
function withoutServices({ args }) {
  throw new UserError(`The service ${JSON.stringify(args.service)} is Convex's own and not available to this deployment.`);
}

/** @param {string} op */
function unknown(op) {
  return new UserError(`Unknown async operation ${op}`);
}

/** @param {unknown} _ */
function nothing(_) {
  return null;
}

/** @param {Frame} frame */
function requireMutation(frame) {
  if (frame.target?.kind !== "mutation") throw new UserError("Only mutations can write.");
}

/** A transaction of an action's own, of this one operation. @template T @param {Asked} asked @param {(transaction: Transaction) => T} work */
function alone({ functions }, work) {
  return functions.transaction(work);
}

/** @param {Asked} asked @param {Kind} kind */
async function runFrom({ services, functions, frame, args }, kind) {
  const address = resolveAddress(services.push(), frame.component, args);
  return await functions.runNested(frame, { kind, ...address, args: args.args });
}

/**
 * The next rows of a query. `taken` of those that were sent last were read; the others are read again, as
 * something was written since.
 * @param {Frame} frame @param {Transaction} transaction
 * @param {{ queryId: number, query: SerializedQuery, taken: number }} request
 */
function rows(frame, transaction, { queryId, query, taken }) {
  let open = frame.streams.get(queryId);
  if (open === undefined) {
    open = { stream: new QueryStream(transaction, frame.component, query), places: [], size: firstBatch(query) };
    frame.streams.set(queryId, open);
  } else {
    // Who writes while it reads would have more rows sent in vain.
    open.size = takeBack(open, taken) ? 1 : Math.min(open.size * 2, MAX_BATCH);
  }
  const { stream, places } = open;
  places.splice(0, places.length, stream.place());
  /** @type {Document[]} */
  const found = [];
  const bytes = stream.bytes;
  while (found.length < open.size && stream.bytes - bytes < MAX_BATCH_BYTES) {
    const before = stream.place();
    let document;
    try {
      document = stream.next();
    } catch (error) {
      // Whoever takes no more than what was found does not meet it.
      if (found.length === 0) throw error;
      stream.backTo(before);
      break;
    }
    if (document === null) return { rows: found, done: true };
    found.push(document);
    places.push(stream.place());
  }
  return { rows: found, done: false };
}

/** How many rows are sent first: `take(n)` takes all n, and a batch more costs as much as some rows more. @param {SerializedQuery} query */
function firstBatch({ operators }) {
  const limits = operators.flatMap((each) => ("limit" in each && each.limit > 0 ? [each.limit] : []));
  return Math.min(limits.length === 0 ? FIRST_BATCH : MAX_BATCH, ...limits);
}

/** @param {Frame} frame @param {Transaction} transaction @param {PageRequest} request */
function page(frame, transaction, request) {
  if (frame.hasPaginated) {
    throw new UserError(
      "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query in each function.",
    );
  }
  if (frame.component !== "") throw new UserError("paginate() is only supported in the app.");
  frame.hasPaginated = true;
  return readPage(transaction, frame.component, request);
}

/** @param {Transaction} transaction */
function metrics(transaction) {
  const names = /** @type {Metric[]} */ (Object.keys(LIMITS));
  const entries = names.map((name) => [name, { used: transaction.used[name], remaining: transaction.remaining(name) }]);
  return Object.fromEntries(entries);
}

/** @param {Asked} asked @param {Transaction} transaction */
function vectors({ frame, args }, transaction) {
  const query = /** @type {VectorQuery} */ (args.query);
  const [tableName = "", indexName = ""] = query.indexName.split(".");
  return { results: vectorSearch(transaction.tables.find(frame.component, tableName), indexName, query) };
}

/** @param {Asked} asked @param {Transaction} transaction */
function store({ services, frame, args }, transaction) {
  const bytes = Buffer.from(String(args.blob), "base64");
  return services.storage.store(transaction, frame.component, { bytes, contentType: args.contentType ?? null, sha256: args.sha256 });
}

/** @param {Asked} asked @param {Transaction} transaction */
function load({ services, frame, args }, transaction) {
  const found = services.storage.load(transaction, frame.component, args.storageId);
  return found === null ? null : { blob: found.bytes.toString("base64"), contentType: found.contentType };
}
