/**
 * What ad-hoc queries import (`convex:/_system/repl/wrappers.js`): they bring no client library with them, so this is
 * the reading half of one, over the same syscalls (https://docs.convex.dev/api/interfaces/server.GenericQueryCtx).
 */

import type { Json } from "../protocol.ts";

const { Buffer } = globalThis;
const { parse, stringify } = JSON;

/** a Convex value as functions see it */
export type Value = any;
export type Ask = (op: string, args: string) => Promise<string>;
export type Convex = { syscall: (op: string, args: string) => string; asyncSyscall: Ask };

/** The module's exports. */
export function wrappers(convex: Convex) {
  /** @param given a handler, or an object that has one */
  const query = (given: Value) => {
    const handler = typeof given === "function" ? given : given?.handler;
    if (typeof handler !== "function")
      throw new TypeError("query() takes a function, or an object with a `handler`");
    return {
      isQuery: true,
      invokeQuery: async (args: string) => {
        const [given = {}] = parse(args);
        return stringify(toJson((await handler(context(convex), fromJson(given))) ?? null));
      },
    };
  };
  return { query, internalQuery: query };
}

function context(convex: Convex) {
  const ask = async (op: string, args: object) =>
    parse(await convex.asyncSyscall(op, stringify(args)));
  const storage = (op: string) => (storageId: string) => ask(op, { storageId });
  return {
    db: { ...reader(convex, false), system: reader(convex, true) },
    auth: { getUserIdentity: () => ask("1.0/getUserIdentity", {}) },
    storage: {
      getUrl: storage("1.0/storageGetUrl"),
      getMetadata: storage("1.0/storageGetMetadata"),
    },
    /** @param name `module:function` */
    runQuery: async (name: string, args: Value = {}) =>
      fromJson(await ask("1.0/runUdf", { udfType: "query", name, args: toJson(args) })),
  };
}

function reader(convex: Convex, isSystem: boolean) {
  return {
    /** An id, or a table and an id. */
    get: async (...address: string[]) => {
      const [id, table] = [address.at(-1), address.length > 1 ? address[0] : undefined];
      return fromJson(
        parse(await convex.asyncSyscall("1.0/get", stringify({ id, table, isSystem }))),
      );
    },
    query: (tableName: string) =>
      new Query(convex, { type: "FullTableScan", tableName, order: null }),
    normalizeId: (table: string, idString: string) =>
      parse(convex.syscall("1.0/db/normalizeId", stringify({ table, idString }))).id,
  };
}

/** A query that is being put together; each step gives another. */
class Query {
  convex: Convex;
  source: Value;
  operators: object[];
  constructor(convex: Convex, source: Value, operators: object[] = []) {
    this.convex = convex;
    this.source = source;
    this.operators = operators;
  }

  fullTableScan() {
    return this;
  }

  withIndex(name: string, choose: (q: Value) => Value = (q) => q) {
    const names = { eq: "Eq", gt: "Gt", gte: "Gte", lt: "Lt", lte: "Lte" };
    const range = chain(names, choose);
    return new Query(this.convex, {
      type: "IndexRange",
      indexName: `${this.source.tableName}.${name}`,
      range,
      order: null,
    });
  }

  withSearchIndex(name: string, choose: (q: Value) => Value) {
    const filters = chain({ search: "Search", eq: "Eq" }, choose);
    return new Query(this.convex, {
      type: "Search",
      indexName: `${this.source.tableName}.${name}`,
      filters,
    });
  }

  order(order: "asc" | "desc") {
    return new Query(this.convex, { ...this.source, order }, this.operators);
  }

  filter(predicate: (q: Value) => Value) {
    return this.#with({ filter: serialize(predicate(EXPRESSIONS)) });
  }

  #with(operator: object) {
    return new Query(this.convex, this.source, [...this.operators, operator]);
  }

  async *[Symbol.asyncIterator]() {
    const { source, operators, convex } = this;
    const query = { source, operators };
    const { queryId } = parse(convex.syscall("1.0/queryStream", stringify({ query })));
    try {
      for (;;) {
        const { value, done } = parse(
          await convex.asyncSyscall("1.0/queryStreamNext", stringify({ queryId })),
        );
        if (done) return;
        yield fromJson(value);
      }
    } finally {
      convex.syscall("1.0/queryCleanup", stringify({ queryId }));
    }
  }

  async collect(): Promise<Value[]> {
    const found = [];
    for await (const each of this) found.push(each);
    return found;
  }

  take(limit: number) {
    return this.#with({ limit }).collect();
  }

  async first() {
    return (await this.take(1))[0] ?? null;
  }

  async unique() {
    const [found = null, another] = await this.take(2);
    if (another !== undefined)
      throw new Error(`unique() query returned more than one result: ${found._id}, ${another._id}`);
    return found;
  }

  async paginate({ numItems, cursor }: { numItems: number; cursor: string | null }) {
    const query = { source: this.source, operators: this.operators };
    const answer = parse(
      await this.convex.asyncSyscall(
        "1.0/queryPage",
        stringify({ query, cursor, pageSize: numItems }),
      ),
    );
    return { ...answer, page: answer.page.map(fromJson) };
  }
}

/**
 * What a chain of calls on `q` says.
 * @param names of its methods
 */
function chain(names: Record<string, string>, choose: (q: Value) => Value) {
  const said: object[] = [];
  const q: Value = {};
  for (const [name, type] of Object.entries(names)) {
    q[name] = (fieldPath: string, value: Value) => {
      said.push({ type, fieldPath, value: toJson(value) });
      return q;
    };
  }
  choose(q);
  return said;
}

class Expression {
  json: Json;
  constructor(json: Json) {
    this.json = json;
  }
}

function serialize(value: Value): Json {
  return value instanceof Expression ? value.json : { $literal: toJson(value) };
}

const EXPRESSIONS: Record<string, (...values: Value[]) => Expression> = {
  field: (path) => new Expression({ $field: path }),
  not: (value) => new Expression({ $not: serialize(value) }),
  neg: (value) => new Expression({ $neg: serialize(value) }),
};
for (const name of [
  "eq",
  "neq",
  "lt",
  "lte",
  "gt",
  "gte",
  "add",
  "sub",
  "mul",
  "div",
  "mod",
  "and",
  "or",
]) {
  EXPRESSIONS[name] = (...values) => new Expression({ [`$${name}`]: values.map(serialize) });
}

function toJson(value: Value): Json {
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

function base64(buffer: ArrayBuffer) {
  return Buffer.from(buffer).toString("base64");
}

function fromJson(json: Json): Value {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(fromJson);
  const [[name, text] = ["", ""]] = Object.entries(json);
  const bytes = () => Buffer.from(String(text), "base64");
  if (name === "$integer") return bytes().readBigInt64LE();
  if (name === "$float") return bytes().readDoubleLE();
  if (name === "$bytes") return new Uint8Array(bytes()).buffer;
  return Object.fromEntries(Object.entries(json).map(([field, each]) => [field, fromJson(each)]));
}
