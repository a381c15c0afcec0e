/** What running functions may ask for. */

import { QueryStream, readPage } from "../database/query.ts";
import { vectorSearch } from "../database/search.ts";
import { LIMITS } from "../database/transaction.ts";
import { UserError } from "../database/user_error.ts";
import { functionHandle } from "../values/handles.ts";
import { takeBack } from "./frame.ts";
import { fetchOwn } from "./own_fetch.ts";
import { display, resolveAddress } from "./targets.ts";
import type { Json } from "../protocol.ts";
import type { PageRequest, Place, SerializedQuery } from "../database/query.ts";
import type { VectorQuery } from "../database/search.ts";
import type { Document } from "../database/sorted_index.ts";
import type { Metric, Transaction } from "../database/transaction.ts";
import type { Frame } from "./frame.ts";
import type { Functions } from "./functions.ts";
import type { Services } from "./services.ts";
import type { Kind } from "./targets.ts";

/** what the client library sends: checked where it is used */
export type Args = any;
export type Asked = { services: Services; functions: Functions; frame: Frame; args: Args };

/** The rows of a query that were sent, and where each left off. */
export type OpenStream = { stream: QueryStream; places: Place[]; size: number };

/** Rows that are sent first where nobody says how many are wanted: all of most queries. */
const FIRST_BATCH = 16;
const MAX_BATCH = 256;
const MAX_BATCH_BYTES = 512 * 1024;

/** of queries and mutations */
const READS: Record<string, (asked: Asked, transaction: Transaction) => unknown> = {
  rows: ({ frame, args }, transaction) => rows(frame, transaction, args),
  "1.0/queryPage": ({ frame, args }, transaction) => page(frame, transaction, args),
  "1.0/get": ({ frame, args }, transaction) => transaction.get(frame.component, args),
  "1.0/count": ({ frame, args }, transaction) => {
    transaction.dependOn(frame.component, args.table);
    return transaction.tables.find(frame.component, args.table)?.documents.size ?? 0;
  },
  "1.0/runUdf": async ({ services, functions, frame, args }, transaction) => {
    const kind = (args.udfType === "mutation" ? "mutation" : "query") as Kind;
    if (kind === "mutation") requireMutation(frame);
    const address = resolveAddress(services.push(), frame.component, args);
    const call = { kind, ...address, args: args.args };
    const run = () =>
      transaction.within(args.transactionLimits ?? {}, () => functions.runNested(frame, call));
    return await (args.udfType === "snapshotQuery" ? transaction.onSnapshot(run) : run());
  },
  "1.0/storageGetUrl": ({ services, frame, args }, transaction) =>
    services.storage.url(transaction, frame.component, args.storageId),
  "1.0/storageGetMetadata": ({ services, frame, args }, transaction) =>
    services.storage.metadata(transaction, frame.component, args.storageId),
  "1.0/getTransactionMetrics": (_, transaction) => metrics(transaction),
};

/** of mutations */
const WRITES: Record<string, (asked: Asked, transaction: Transaction) => unknown> = {
  "1.0/insert": ({ frame, args }, transaction) => ({
    _id: transaction.insert(frame.component, args.table, args.value),
  }),
  "1.0/shallowMerge": ({ frame, args }, transaction) =>
    nothing(transaction.patch(frame.component, args)),
  "1.0/replace": ({ frame, args }, transaction) =>
    nothing(transaction.replace(frame.component, args)),
  "1.0/remove": ({ frame, args }, transaction) =>
    nothing(transaction.remove(frame.component, args)),
  "1.0/schedule": ({ services, frame, args }, transaction) =>
    services.scheduler.schedule(transaction, frame, args),
  "1.0/cancel_job": ({ services, frame, args }, transaction) =>
    nothing(services.scheduler.cancel(transaction, frame.component, args.id)),
  "1.0/storageGenerateUploadUrl": ({ services, frame }) =>
    services.storage.uploadUrl(frame.component),
  "1.0/storageDelete": ({ services, frame, args }, transaction) =>
    nothing(services.storage.delete(transaction, frame.component, args.storageId)),
  "1.0/storageStore": (asked, transaction) => {
    transaction.use("documentsWritten");
    transaction.use("bytesWritten", Buffer.byteLength(String(asked.args.blob), "base64"));
    return store(asked, transaction);
  },
  "1.0/storageGet": (asked, transaction) => {
    const found = load(asked, transaction);
    if (found !== null) {
      transaction.use("documentsRead");
      transaction.use("bytesRead", Buffer.byteLength(found.blob, "base64"));
    }
    return found;
  },
  "1.0/signJwt": ({ services, frame, args }, transaction) =>
    services.ownTokens.sign(frame.component, transaction.now, args),
};

/** of actions */
const ACTIONS: Record<string, (asked: Asked) => unknown> = {
  "1.0/actions/query": (asked) => runFrom(asked, "query"),
  "1.0/actions/mutation": (asked) => runFrom(asked, "mutation"),
  "1.0/actions/action": (asked) => runFrom(asked, "action"),
  "1.0/actions/schedule": (asked) =>
    alone(asked, (transaction) =>
      asked.services.scheduler.schedule(transaction, asked.frame, asked.args),
    ),
  "1.0/actions/cancel_job": (asked) =>
    alone(asked, (transaction) =>
      nothing(asked.services.scheduler.cancel(transaction, asked.frame.component, asked.args.id)),
    ),
  "1.0/actions/vectorSearch": (asked) => alone(asked, (transaction) => vectors(asked, transaction)),
  "1.0/storageGenerateUploadUrl": ({ services, frame }) =>
    services.storage.uploadUrl(frame.component),
  "1.0/storageGetUrl": (asked) =>
    alone(asked, (transaction) =>
      asked.services.storage.url(transaction, asked.frame.component, asked.args.storageId),
    ),
  "1.0/storageGetMetadata": (asked) =>
    alone(asked, (transaction) =>
      asked.services.storage.metadata(transaction, asked.frame.component, asked.args.storageId),
    ),
  "1.0/storageDelete": (asked) =>
    alone(asked, (transaction) =>
      nothing(
        asked.services.storage.delete(transaction, asked.frame.component, asked.args.storageId),
      ),
    ),
  "1.0/storageStore": (asked) => alone(asked, (transaction) => store(asked, transaction)),
  "1.0/storageGet": (asked) => alone(asked, (transaction) => load(asked, transaction)),
  fetch: ({ services, args }) => fetchOwn((origin) => services.canReach(origin), args),
  "1.0/createServiceToken": withoutServices,
  "1.0/getServiceUrl": withoutServices,
};

/** of all */
const COMMON: Record<string, (asked: Asked) => unknown> = {
  "1.0/getUserIdentity": ({ frame }) => frame.caller.user,
  "1.0/createFunctionHandle": ({ services, frame, args }) =>
    functionHandle(resolveAddress(services.push(), frame.component, args)),
  "1.0/getFunctionMetadata": ({ frame }) => ({
    name: frame.target === null ? "http" : display(frame.target),
    componentPath: frame.component,
  }),
  "1.0/getDeploymentMetadata": ({ services }) => ({
    name: services.name,
    region: null,
    class: "s16",
  }),
  "1.0/getRequestMetadata": ({ frame }) => ({
    ...(frame.caller.origin ?? { ip: null, userAgent: null }),
    requestId: frame.requestId,
    ...{ scheduledFunctionId: frame.scheduledId, authToken: frame.caller.token ?? null },
  }),
  "1.0/auditLog": () => null,
};

/** Answers a syscall in JSON. @throws UserError */
export async function syscall(
  services: Services,
  functions: Functions,
  frame: Frame,
  op: string,
  args: Json,
): Promise<string> {
  const asked = { services, functions, frame, args: args as Args };
  const common = COMMON[op];
  if (common !== undefined) return JSON.stringify(common(asked) ?? null);
  const { transaction } = frame;
  if (transaction === null) {
    const act = ACTIONS[op];
    if (act === undefined) throw unknown(services, op);
    return JSON.stringify((await act(asked)) ?? null);
  }
  const read = READS[op];
  const work = read ?? WRITES[op];
  if (work === undefined) throw unknown(services, op);
  if (read === undefined) requireMutation(frame);
  // In order: a called function's writes must not mix with its caller's.
  const done = frame.turn.then(() => work(asked, transaction));
  frame.turn = done.catch(() => {});
  return JSON.stringify((await done) ?? null);
}

function withoutServices({ args }: Asked): never {
  const code = args.service === "ai-gateway" ? "AiGatewayUnavailable: " : "";
  const name = JSON.stringify(args.service);
  throw new UserError(
    `${code}The service ${name} is Convex's own and not available to this deployment.`,
  );
}

/** Operations that are answered where the function runs, and those of them that are asked on its behalf. */
const INSIDE = new Set(
  (
    "1.0/queryStream 1.0/queryStreamNext 1.0/queryCleanup 1.0/db/normalizeId 1.0/componentArgument " +
    "1.0/getSnapshotTs storage/storeBlob storage/getBlob"
  ).split(" "),
);
/** Of `router.runRequest`, in whose place HTTP actions are called themselves. */
const UNUSED = new Set("requestFromConvexJson convexJsonFromResponse".split(" "));

/** Whether functions of any kind can ask for an operation. */
export function isKnownOperation(op: string): boolean {
  return (
    INSIDE.has(op) ||
    UNUSED.has(op) ||
    [COMMON, READS, WRITES, ACTIONS].some((operations) => Object.hasOwn(operations, op))
  );
}

function unknown(services: Services, op: string) {
  if (!isKnownOperation(op)) services.unknown.add(op);
  return new UserError(`Unknown async operation ${op}`);
}

function nothing(_: unknown) {
  return null;
}

function requireMutation(frame: Frame) {
  if (frame.target?.kind !== "mutation") throw new UserError("Only mutations can write.");
}

/** A transaction of an action's own, of this one operation. */
function alone<T>({ functions }: Asked, work: (transaction: Transaction) => T) {
  return functions.transaction(work);
}

async function runFrom({ services, functions, frame, args }: Asked, kind: Kind) {
  const address = resolveAddress(services.push(), frame.component, args);
  return await functions.runNested(frame, { kind, ...address, args: args.args });
}

/**
 * The next rows of a query. `taken` of those that were sent last were read; the others are read again, as
 * something was written since.
 */
function rows(
  frame: Frame,
  transaction: Transaction,
  { queryId, query, taken }: { queryId: number; query: SerializedQuery; taken: number },
) {
  let open = frame.streams.get(queryId);
  if (open === undefined) {
    open = {
      stream: new QueryStream(transaction, frame.component, query),
      places: [],
      size: firstBatch(query),
    };
    frame.streams.set(queryId, open);
  } else {
    // Who writes while it reads would have more rows sent in vain.
    open.size = takeBack(open, taken) ? 1 : Math.min(open.size * 2, MAX_BATCH);
  }
  const { stream, places } = open;
  places.splice(0, places.length, stream.place());
  const found: Document[] = [];
  const bytes = stream.bytes;
  while (found.length < open.size && stream.bytes - bytes < MAX_BATCH_BYTES) {
    const before = stream.place();
    let document: ReturnType<typeof stream.next>;
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

/** How many rows are sent first: `take(n)` takes all n, and a batch more costs as much as some rows more. */
function firstBatch({ operators }: SerializedQuery) {
  const limits = operators.flatMap((each) =>
    "limit" in each && each.limit > 0 ? [each.limit] : [],
  );
  return Math.min(limits.length === 0 ? FIRST_BATCH : MAX_BATCH, ...limits);
}

function page(frame: Frame, transaction: Transaction, request: PageRequest) {
  if (frame.hasPaginated) {
    throw new UserError(
      "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query in each function.",
    );
  }
  if (frame.component !== "")
    throw new UserError(
      "paginate() is only supported in the app. Learn more at https://docs.convex.dev/components/authoring#pagination",
    );
  frame.hasPaginated = true;
  return readPage(transaction, frame.component, request);
}

function metrics(transaction: Transaction) {
  const names = Object.keys(LIMITS) as Metric[];
  const entries = names.map((name) => [
    name,
    { used: transaction.used[name], remaining: transaction.remaining(name) },
  ]);
  return Object.fromEntries(entries);
}

function vectors({ frame, args }: Asked, transaction: Transaction) {
  const query = args.query as VectorQuery;
  const [tableName = ""] = query.indexName.split(".");
  return { results: vectorSearch(transaction.tables.find(frame.component, tableName), query) };
}

function store({ services, frame, args }: Asked, transaction: Transaction) {
  const bytes = Buffer.from(String(args.blob), "base64");
  return services.storage.store(transaction, frame.component, {
    bytes,
    // The client library gives the empty type of a Blob that has none.
    contentType: args.contentType || null,
    sha256: args.sha256,
  });
}

function load({ services, frame, args }: Asked, transaction: Transaction) {
  const found = services.storage.load(transaction, frame.component, args.storageId);
  return found === null
    ? null
    : { blob: found.bytes.toString("base64"), contentType: found.contentType };
}
