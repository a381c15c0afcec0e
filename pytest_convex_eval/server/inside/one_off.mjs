/**
 * What ad-hoc queries import (`convex:/_system/repl/wrappers.js`): they bring no client library with them, so this is
 * the reading half of one, over the same syscalls (https://docs.convex.dev/api/interfaces/server.GenericQueryCtx).
 * @import { Json } from "../protocol.d.ts"
 */

const { Buffer } = globalThis;
const { parse, stringify } = JSON;

/** @typedef {any} Value a Convex value as functions see it */
/** @typedef {(op: string, args: string) => Promise<string>} Ask */
/** @typedef {{ syscall: (op: string, args: string) => string, asyncSyscall: Ask }} Convex */

/** The module's exports. @param {Convex} convex */
export function wrappers(convex) {
  /** @param {Value} given a handler, or an object that has one */
  const query = (given) => {
    const handler = typeof given === "function" ? given : given?.handler;
    if (typeof handler !== "function") throw new TypeError("query() takes a function, or an object with a `handler`");
    return {
      isQuery: true,
      invokeQuery: async (/** @type {string} */ args) => {
        const [given = {}] = parse(args);
        return stringify(toJson((await handler(context(convex), fromJson(given))) ?? null));
      },
    };
  };
  return { query, internalQuery: query };
}

/** @param {Convex} convex */
function context(convex) {
  const ask = async (/** @type {string} */ op, /** @type {object} */ args) => parse(await convex.asyncSyscall(op, stringify(args)));
  const storage = (/** @type {string} */ op) => (/** @type {string} */ storageId) => ask(op, { storageId });
  return {
    db: { ...reader(convex, false), system: reader(convex, true) },
    auth: { getUserIdentity: () => ask("1.0/getUserIdentity", {}) },
    storage: { getUrl: storage("1.0/storageGetUrl"), getMetadata: storage("1.0/storageGetMetadata") },
    /** @param {string} name `module:function` @param {Value} [args] */
    runQuery: async (name, args = {}) => fromJson(await ask("1.0/runUdf", { udfType: "query", name, args: toJson(args) })),
  };
}

/** @param {Convex} convex @param {boolean} isSystem */
function reader(convex, isSystem) {
  return {
    /** An id, or a table and an id. @param {string[]} address */
    get: async (...address) => {
      const [id, table] = [address.at(-1), address.length > 1 ? address[0] : undefined];
      return fromJson(parse(await convex.asyncSyscall("1.0/get", stringify({ id, table, isSystem }))));
    },
    query: (/** @type {string} */ tableName) => new Query(convex, { type: "FullTableScan", tableName, order: null }),
    normalizeId: (/** @type {string} */ table, /** @type {string} */ idString) =>
      parse(convex.syscall("1.0/db/normalizeId", stringify({ table, idString }))).id,
  };
}

/** A query that is being put together; each step gives another. */
class Query {
  /** @param {Convex} convex @param {Value} source @param {object[]} [operators] */
  constructor(convex, source, operators = []) {
    this.convex = convex;
    this.source = source;
    this.operators = operators;
  }

  fullTableScan() {
    return this;
  }

  /** @param {string} name @param {(q: Value) => Value} [choose] */
  withIndex(name, choose = (q) => q) {
    const names = { eq: "Eq", gt: "Gt", gte: "Gte", lt: "Lt", lte: "Lte" };
    const range = chain(names, choose);
    return new Query(this.convex, { type: "IndexRange", indexName: `${this.source.tableName}.${name}`, range, order: null });
  }

  /** @param {string} name @param {(q: Value) => Value} choose */
  withSearchIndex(name, choose) {
    const filters = chain({ search: "Search", eq: "Eq" }, choose);
    return new Query(this.convex, { type: "Search", indexName: `${this.source.tableName}.${name}`, filters });
  }

  /** @param {"asc" | "desc"} order */
  order(order) {
    return new Query(this.convex, { ...this.source, order }, this.operators);
  }

  /** @param {(q: Value) => Value} predicate */
  filter(predicate) {
    return this.#with({ filter: serialize(predicate(EXPRESSIONS)) });
  }

  /** @param {object} operator */
  #with(operator) {
    return new Query(this.convex, this.source, [...this.operators, operator]);
  }

  async *[Symbol.asyncIterator]() {
    const { source, operators, convex } = this;
    const query = { source, operators };
    const { queryId } = parse(convex.syscall("1.0/queryStream", stringify({ query })));
    try {
      for (;;) {
        const { value, done } = parse(await convex.asyncSyscall("1.0/queryStreamNext", stringify({ queryId })));
        if (done) return;
        yield fromJson(value);
      }
    } finally {
      convex.syscall("1.0/queryCleanup", stringify({ queryId }));
    }
  }

  /** @returns {Promise<Value[]>} */
  async collect() {
    const found = [];
    for await (const each of this) found.push(each);
    return found;
  }

  /** @param {number} limit */
  take(limit) {
    return this.#with({ limit }).collect();
  }

  async first() {
    return (await this.take(1))[0] ?? null;
  }

  async unique() {
    const [found = null, another] = await this.take(2);
    if (another !== undefined) throw new Error(`unique() query returned more than one result: ${found._id}, ${another._id}`);
    return found;
  }

  /** @param {{ numItems: number, cursor: string | null }} options */
  async paginate({ numItems, cursor }) {
    const query = { source: this.source, operators: this.operators };
    const answer = parse(await this.convex.asyncSyscall("1.0/queryPage", stringify({ query, cursor, pageSize: numItems })));
    return { ...answer, page: answer.page.map(fromJson) };
  }
}

/** What a chain of calls on `q` says. @param {Record<string, string>} names of its methods @param {(q: Value) => Value} choose */
function chain(names, choose) {
  /** @type {object[]} */
  const said = [];
  /** @type {Value} */
  const q = {};
  for (const [name, type] of Object.entries(names)) {
    q[name] = (/** @type {string} */ fieldPath, /** @type {Value} */ value) => {
      said.push({ type, fieldPath, value: toJson(value) });
      return q;
    };
  }
  choose(q);
  return said;
}

class Expression {
  /** @param {Json} json */
  constructor(json) {
    this.json = json;
  }
}

/** @param {Value} value @returns {Json} */
function serialize(value) {
  return value instanceof Expression ? value.json : { $literal: toJson(value) };
}

/** @type {Record<string, (...values: Value[]) => Expression>} */
const EXPRESSIONS = {
  field: (path) => new Expression({ $field: path }),
  not: (value) => new Expression({ $not: serialize(value) }),
  neg: (value) => new Expression({ $neg: serialize(value) }),
};
for (const name of ["eq", "neq", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod", "and", "or"]) {
  EXPRESSIONS[name] = (...values) => new Expression({ [`$${name}`]: values.map(serialize) });
}

/** @param {Value} value @returns {Json} */
function toJson(value) {
  if (value === undefined) return { $undefined: null };
  if (typeof value === "bigint") return { $integer: base64(new BigInt64Array([value]).buffer) };
  if (typeof value === "number") {
    const plain = Number.isFinite(value) && !Object.is(value, -0);
    return plain ? value : { $float: base64(new Float64Array([value]).buffer) };
  }
  if (value instanceof ArrayBuffer) return { $bytes: base64(value) };
  if (Array.isArray(value)) return value.map((each) => toJson(each));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(fields.map(([name, each]) => [name, toJson(each)]));
}

/** @param {ArrayBuffer} buffer */
function base64(buffer) {
  return Buffer.from(buffer).toString("base64");
}

/** @param {Json} json @returns {Value} */
function fromJson(json) {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(fromJson);
  const [[name, text] = ["", ""]] = Object.entries(json);
  const bytes = () => Buffer.from(String(text), "base64");
  if (name === "$integer") return bytes().readBigInt64LE();
  if (name === "$float") return bytes().readDoubleLE();
  if (name === "$bytes") return new Uint8Array(bytes()).buffer;
  return Object.fromEntries(Object.entries(json).map(([field, each]) => [field, fromJson(each)]));
}
