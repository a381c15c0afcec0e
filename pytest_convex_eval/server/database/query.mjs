/**
 * Queries as the client library serialises them: a source (a table, a range of an index, a search) and operators
 * (filters and limits); read one by one or in pages.
 * @import { Json } from "../protocol.d.ts"
 * @import { Document } from "./sorted_index.mjs"
 * @import { Transaction } from "./transaction.mjs"
 */

import { createHash } from "node:crypto";

import { keyOf, LAST } from "../values/keys.mjs";
import { isUndefined, sizeOf } from "../values/values.mjs";
import { passes } from "./expressions.mjs";
import { MAX_CANDIDATES, search } from "./search.mjs";
import { SortedIndex } from "./sorted_index.mjs";
import { checkTableName, LIMITS } from "./transaction.mjs";
import { UserError } from "./user_error.mjs";

const MAX_PAGE = 32_000;
/** From here on a client does better to split its page: 75 % of the longest array. */
const SPLIT_RECOMMENDED = 6144;
/** Likewise, of the bytes that a function can read. */
const SPLIT_RECOMMENDED_BYTES = 0.75 * LIMITS.bytesRead;

/** @typedef {{ type: "Eq" | "Gt" | "Gte" | "Lt" | "Lte", fieldPath: string, value: Json }} RangeExpression */
/** @typedef {{ type: "FullTableScan", tableName: string, order: "asc" | "desc" | null } | { type: "IndexRange", indexName: string, range: RangeExpression[], order: "asc" | "desc" | null } | { type: "Search", indexName: string, filters: { type: "Search" | "Eq", fieldPath: string, value: Json }[] }} Source */
/** @typedef {{ filter: Json } | { limit: number }} Operator */
/** @typedef {{ source: Source, operators: Operator[] }} SerializedQuery */

/** Where documents come from: each with its key, after a given one. @typedef {(after: string | null) => { key: string, document: Document } | null} Scan */

/**
 * @param {Transaction} transaction
 * @param {string} component
 * @param {Source} source
 * @returns {Scan}
 */
function openSource(transaction, component, source) {
  transaction.use("databaseQueries");
  const { tables } = transaction;
  const [tableName = "", indexName = "by_creation_time"] =
    source.type === "FullTableScan" ? [source.tableName] : split(source.indexName);
  checkTableName(tableName);
  transaction.dependOn(component, tableName);
  const table = tables.find(component, tableName);
  if (source.type === "Search") {
    const results = search(table, indexName, source.filters);
    const position = (/** @type {number} */ i) => String(i).padStart(6, "0");
    return (after) => {
      const at = after === null ? 0 : Number(after) + 1;
      if (at === MAX_CANDIDATES && results.length > at) {
        throw new UserError(
          `Search query scanned too many documents (fetched ${MAX_CANDIDATES}). Consider using a smaller limit, paginating ` +
            "the query, or using a filter field to limit pagination size.",
        );
      }
      const document = results[at];
      return document === undefined ? null : { key: position(at), document };
    };
  }
  const range = source.type === "FullTableScan" ? [] : source.range;
  const index = table?.indexes.get(indexName) ?? (indexName.startsWith("by_") ? builtin(indexName) : undefined);
  if (index === undefined) throw new UserError(`Index ${tableName}.${indexName} not found.`);
  if (index.staged) {
    throw new UserError(
      `Index ${tableName}.${indexName} is currently staged and not available to query until it is enabled.`,
    );
  }
  const [start, end] = bounds(`${tableName}.${indexName}`, index.fields, range);
  const descending = source.order === "desc";
  return (after) => {
    if (after === null) return index.first(start, end, descending);
    return descending ? index.first(start, after, true) : index.first(after + LAST, end, false);
  };
}

/** The built-in indexes of a table that is not there yet. @param {string} name */
function builtin(name) {
  if (name === "by_creation_time") return new SortedIndex(name, ["_creationTime", "_id"]);
  return name === "by_id" ? new SortedIndex(name, ["_id"]) : undefined;
}

/** @param {string} name @returns {[string, string]} */
function split(name) {
  const at = name.indexOf(".");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

/**
 * The keys of a range: from the first, up to and without the second.
 * @param {string} name @param {string[]} fields @param {RangeExpression[]} range
 * @returns {[string, string]}
 */
function bounds(name, fields, range) {
  const wrongOrder = (/** @type {string} */ incorrect) => {
    const quoted = (/** @type {string[]} */ list) => `[${list.map((each) => JSON.stringify(each)).join(", ")}]`;
    return new UserError(
      `Tried to query index ${name} but the query didn't use the index fields in order.\n` +
        `Index fields: ${quoted(fields.filter((field) => field !== "_id" || fields.length === 1))}\n` +
        `Query fields: ${quoted(range.map((each) => each.fieldPath))}\n` +
        `First incorrect field: ${incorrect}\nFor more information see https://docs.convex.dev/using/indexes.`,
    );
  };
  let prefix = "";
  let at = 0;
  /** @type {string | null} */
  let lower = null;
  /** @type {string | null} */
  let upper = null;
  for (const { type, fieldPath, value } of range) {
    if (fieldPath !== fields[at]) throw wrongOrder(fieldPath);
    const key = keyOf(isUndefined(value) ? undefined : value);
    if (type === "Eq") {
      if (lower !== null || upper !== null) throw wrongOrder(fieldPath);
      prefix += key;
      at += 1;
    } else if (type === "Gt" || type === "Gte") {
      if (lower !== null) throw new UserError(`Can't set lower bound on field ${fieldPath} twice in an index range.`);
      lower = type === "Gt" ? key + LAST : key;
    } else {
      if (upper !== null) throw new UserError(`Can't set upper bound on field ${fieldPath} twice in an index range.`);
      upper = type === "Lte" ? key + LAST : key;
    }
  }
  return [prefix + (lower ?? ""), prefix + (upper ?? LAST)];
}

/** @typedef {{ position: string | null, remaining: number[], rows: number, bytes: number }} Place */

/** A query being read; `position` and `remaining` say how far it is. */
export class QueryStream {
  /** @type {string | null} */
  position;
  /** @type {number[]} what each limit still lets through */
  remaining;
  rows = 0;
  bytes = 0;

  /**
   * @param {Transaction} transaction @param {string} component @param {SerializedQuery} query
   * @param {string | null} [after]
   */
  constructor(transaction, component, query, after = null) {
    this.transaction = transaction;
    this.scan = openSource(transaction, component, query.source);
    this.operators = query.operators;
    this.position = after;
    this.remaining = query.operators.map((each) => ("limit" in each ? each.limit : Infinity));
  }

  /** @returns {Document | null} null at the end */
  next() {
    for (let found = this.look(); found !== null; found = this.look()) if (found.passes) return found.document;
    return null;
  }

  /** Reads one document, whether it passes or not. @returns {{ document: Document, passes: boolean } | null} null at the end */
  look() {
    if (this.remaining.some((each) => each <= 0)) return null;
    const found = this.scan(this.position);
    if (found === null) return null;
    this.position = found.key;
    this.rows += 1;
    this.bytes += sizeOf(found.document);
    this.transaction.countRead(found.document);
    return { document: found.document, passes: this.#passes(found.document) };
  }

  /** How far it is. @returns {Place} */
  place() {
    const { position, remaining, rows, bytes } = this;
    return { position, remaining: [...remaining], rows, bytes };
  }

  /** Goes back to where it was: what it read since does not count. @param {Place} place */
  backTo({ position, remaining, rows, bytes }) {
    this.transaction.used.documentsRead -= this.rows - rows;
    this.transaction.used.bytesRead -= this.bytes - bytes;
    Object.assign(this, { position, remaining: [...remaining], rows, bytes });
  }

  /** @param {Document} document */
  #passes(document) {
    for (const [i, operator] of this.operators.entries()) {
      if ("filter" in operator) {
        if (!passes(operator.filter, document)) return false;
      } else {
        this.remaining[i] = (this.remaining[i] ?? 0) - 1;
      }
    }
    return true;
  }
}

/**
 * @typedef {object} PageRequest
 * @property {SerializedQuery} query
 * @property {string | null} cursor
 * @property {string | null} [endCursor]
 * @property {number} pageSize
 * @property {number | null} [maximumRowsRead]
 * @property {number | null} [maximumBytesRead]
 */

/** A key, or the end of everything. @typedef {{ key: string | null } | "end"} Cursor */

/**
 * @param {Transaction} transaction
 * @param {string} component
 * @param {PageRequest} request
 */
export function readPage(transaction, component, request) {
  const { query, pageSize, maximumRowsRead: maxRows = null, maximumBytesRead: maxBytes = null } = request;
  const fingerprint = createHash("sha256").update(JSON.stringify(query)).digest("hex").slice(0, 16);
  if (pageSize === 0) throw new UserError("Must request at least 1 document while paginating");
  if (pageSize > MAX_PAGE) throw new UserError(`Requested too many items: ${pageSize}`);
  if ((maxRows !== null && maxRows <= 0) || (maxBytes !== null && maxBytes <= 0)) {
    throw new UserError("maximumRowsRead and maximumBytesRead must be greater than 0");
  }
  const start = readCursor(request.cursor, fingerprint);
  const until = request.endCursor == null ? null : readCursor(request.endCursor, fingerprint);
  const write = (/** @type {Cursor} */ cursor) => writeCursor(cursor, fingerprint);
  if (start === "end") {
    return { page: [], isDone: true, continueCursor: write("end"), splitCursor: null, pageStatus: null };
  }
  const descending = query.source.type !== "Search" && query.source.order === "desc";
  const stream = new QueryStream(transaction, component, query, start.key);
  /** @type {Document[]} */
  const page = [];
  /** Those of all that it looked at. @type {string[]} */
  const keys = [];
  let isDone = false;
  let exhausted = false;
  const goal = until === null || until === "end" ? null : until.key;
  while (until !== null || page.length < pageSize) {
    if (goal !== null && stream.position === goal) break;
    exhausted = (maxRows !== null && stream.rows >= maxRows) || (maxBytes !== null && stream.bytes >= maxBytes);
    if (exhausted) break;
    const before = stream.place();
    const found = stream.look();
    if (found === null) {
      isDone = true;
      break;
    }
    const key = stream.position ?? "";
    if (goal !== null && (descending ? key < goal : key > goal)) {
      stream.backTo(before);
      break;
    }
    keys.push(key);
    if (found.passes) page.push(found.document);
  }
  const last = until !== null && !exhausted ? until : isDone ? "end" : { key: stream.position };
  const isLarge = page.length > SPLIT_RECOMMENDED || stream.bytes > SPLIT_RECOMMENDED_BYTES;
  const middle = keys[Math.floor((keys.length - 1) / 2)];
  return {
    page,
    isDone: until === null ? isDone : until === "end" && !exhausted,
    continueCursor: write(last),
    splitCursor: middle === undefined ? null : write({ key: middle }),
    pageStatus: exhausted ? "SplitRequired" : isLarge ? "SplitRecommended" : null,
  };
}

/** @param {Cursor} cursor @param {string} fingerprint */
function writeCursor(cursor, fingerprint) {
  const place = cursor === "end" ? "e" : `k${cursor.key ?? ""}`;
  return fingerprint + Buffer.from(place, "latin1").toString("hex");
}

/** @param {string | null} text @param {string} fingerprint @returns {Cursor} */
function readCursor(text, fingerprint) {
  if (text === null) return { key: null };
  if (typeof text !== "string" || !text.startsWith(fingerprint)) {
    const message =
      "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a different query.";
    throw new UserError(message, { isConvexSystemError: true, paginationError: "InvalidCursor" });
  }
  const place = Buffer.from(text.slice(fingerprint.length), "hex").toString("latin1");
  return place === "e" ? "end" : { key: place.slice(1) || null };
}
