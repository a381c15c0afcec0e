/**
 * Queries as the client library serialises them: a source (a table, a range of an index, a search) and operators
 * (filters and limits); read one by one or in pages.
 */

import { createHash } from "node:crypto";

import { LAST } from "../values/keys.ts";
import { sizeOf } from "../values/values.ts";
import { checkTableName } from "./documents.ts";
import { passes } from "./expressions.ts";
import { bounds } from "./index_range.ts";
import { MAX_CANDIDATES, search } from "./search.ts";
import { SortedIndex } from "./sorted_index.ts";
import { LIMITS } from "./transaction.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";
import type { RangeExpression } from "./index_range.ts";
import type { Document } from "./sorted_index.ts";
import type { Table } from "./tables.ts";
import type { Transaction } from "./transaction.ts";

const MAX_PAGE = 32_000;
/** From here on a client does better to split its page: 75 % of the longest array. */
const SPLIT_RECOMMENDED = 6144;
/** Likewise, of the bytes that a function can read. */
const SPLIT_RECOMMENDED_BYTES = 0.75 * LIMITS.bytesRead;

export type Source =
  | { type: "FullTableScan"; tableName: string; order: "asc" | "desc" | null }
  | {
      type: "IndexRange";
      indexName: string;
      range: RangeExpression[];
      order: "asc" | "desc" | null;
    }
  | {
      type: "Search";
      indexName: string;
      filters: { type: "Search" | "Eq"; fieldPath: string; value: Json }[];
    };
export type Operator = { filter: Json } | { limit: number };
export type SerializedQuery = { source: Source; operators: Operator[] };

/** Where documents come from: each with its key, after a given one. */
export type Scan = (after: string | null) => { key: string; document: Document } | null;

function openSource(transaction: Transaction, component: string, source: Source): Scan {
  transaction.use("databaseQueries");
  const { tables } = transaction;
  const [tableName = "", indexName = "by_creation_time"] =
    source.type === "FullTableScan" ? [source.tableName] : split(source.indexName);
  checkTableName(tableName, "db.query");
  transaction.dependOn(component, tableName);
  const table = tables.find(component, tableName);
  if (source.type === "Search") {
    const results = search(table, source.indexName, source.filters);
    const position = (i: number) => String(i).padStart(6, "0");
    return (after) => {
      const at = after === null ? 0 : Number(after) + 1;
      if (at === MAX_CANDIDATES && results.length >= at) {
        throw new UserError(
          `Search query scanned too many documents (fetched ${MAX_CANDIDATES}). Consider using a smaller limit, paginating ` +
            "the query, or using a filter field to limit the number of documents pulled from the search index.",
        );
      }
      const document = results[at];
      return document === undefined ? null : { key: position(at), document };
    };
  }
  const range = source.type === "FullTableScan" ? [] : source.range;
  const index =
    table?.indexes.get(indexName) ?? (indexName.startsWith("by_") ? builtin(indexName) : undefined);
  if (index === undefined) {
    const isOfAnotherKind = table !== undefined && otherIndexes(table).has(indexName);
    throw new UserError(
      `Index ${tableName}.${indexName} ${isOfAnotherKind ? "is not a database index" : "not found."}`,
    );
  }
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

/** The built-in indexes of a table that is not there yet. */
function builtin(name: string) {
  if (name === "by_creation_time") return new SortedIndex(name, ["_creationTime", "_id"]);
  return name === "by_id" ? new SortedIndex(name, ["_id"]) : undefined;
}

function split(name: string): [string, string] {
  const at = name.indexOf(".");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

/** The names of a table's search and vector indexes. */
function otherIndexes({ schema }: Table): Set<string> {
  if (schema === null) return new Set();
  const { searchIndexes, stagedSearchIndexes, vectorIndexes, stagedVectorIndexes } = schema;
  const all = [searchIndexes, stagedSearchIndexes, vectorIndexes, stagedVectorIndexes];
  return new Set(all.flat().map(({ indexDescriptor }) => indexDescriptor));
}

export type Place = { position: string | null; remaining: number[]; rows: number; bytes: number };

/** A query being read; `position` and `remaining` say how far it is. */
export class QueryStream {
  transaction: Transaction;
  scan: Scan;
  operators: Operator[];
  position: string | null;
  /** what each limit still lets through */
  remaining: number[];
  rows = 0;
  bytes = 0;

  constructor(
    transaction: Transaction,
    component: string,
    query: SerializedQuery,
    after: string | null = null,
  ) {
    this.transaction = transaction;
    this.scan = openSource(transaction, component, query.source);
    this.operators = query.operators;
    this.position = after;
    this.remaining = query.operators.map((each) => ("limit" in each ? each.limit : Infinity));
  }

  /** @returns null at the end */
  next(): Document | null {
    for (let found = this.look(); found !== null; found = this.look())
      if (found.passes) return found.document;
    return null;
  }

  /** Reads one document, whether it passes or not. @returns null at the end */
  look(): { document: Document; passes: boolean } | null {
    if (this.remaining.some((each) => each <= 0)) return null;
    const found = this.scan(this.position);
    if (found === null) return null;
    this.position = found.key;
    this.rows += 1;
    this.bytes += sizeOf(found.document);
    this.transaction.countRead(found.document);
    return { document: found.document, passes: this.#passes(found.document) };
  }

  /** How far it is. */
  place(): Place {
    const { position, remaining, rows, bytes } = this;
    return { position, remaining: [...remaining], rows, bytes };
  }

  /** Goes back to where it was: what it read since does not count. */
  backTo({ position, remaining, rows, bytes }: Place) {
    this.transaction.used.documentsRead -= this.rows - rows;
    this.transaction.used.bytesRead -= this.bytes - bytes;
    Object.assign(this, { position, remaining: [...remaining], rows, bytes });
  }

  #passes(document: Document) {
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

export interface PageRequest {
  query: SerializedQuery;
  cursor?: string | null;
  endCursor?: string | null;
  pageSize: number;
  maximumRowsRead?: number | null;
  maximumBytesRead?: number | null;
}

/** A key, or the end of everything. */
export type Cursor = { key: string | null } | "end";

export function readPage(transaction: Transaction, component: string, request: PageRequest) {
  const {
    query,
    pageSize,
    maximumRowsRead: maxRows = null,
    maximumBytesRead: maxBytes = null,
  } = request;
  checkPageRequest(request);
  const fingerprint = createHash("sha256").update(JSON.stringify(query)).digest("hex").slice(0, 16);
  if (pageSize === 0) throw new UserError("Must request at least 1 document while paginating");
  if (pageSize > MAX_PAGE) throw new UserError(`Requested too many items: ${pageSize}`);
  if ((maxRows !== null && maxRows <= 0) || (maxBytes !== null && maxBytes <= 0)) {
    throw new UserError("maximumRowsRead and maximumBytesRead must be greater than 0");
  }
  const start = request.cursor == null ? { key: null } : readCursor(request.cursor, fingerprint);
  const until = request.endCursor == null ? null : readCursor(request.endCursor, fingerprint);
  const write = (cursor: Cursor) => writeCursor(cursor, fingerprint);
  if (start === "end") {
    return {
      page: [],
      isDone: true,
      continueCursor: write("end"),
      splitCursor: null,
      pageStatus: null,
    };
  }
  const descending = query.source.type !== "Search" && query.source.order === "desc";
  const stream = new QueryStream(transaction, component, query, start.key);
  const page: Document[] = [];
  /** Those of all that it looked at. */
  const keys: string[] = [];
  let isDone = false;
  let exhausted = false;
  const goal = until === null || until === "end" ? null : until.key;
  while (until !== null || page.length < pageSize) {
    if (goal !== null && stream.position === goal) break;
    exhausted =
      (maxRows !== null && stream.rows >= maxRows) ||
      (maxBytes !== null && stream.bytes >= maxBytes);
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

/** What a function gave as it liked: the client library looks at little of it. @throws UserError */
function checkPageRequest({ cursor, endCursor, pageSize, ...most }: PageRequest) {
  const wrong = (what: string, value: Json | undefined) =>
    new UserError(`Invalid arguments for \`queryPage\`: ${what}, not ${JSON.stringify(value)}`);
  if (!isCount(pageSize)) throw wrong("pageSize must be a natural number", pageSize);
  for (const [name, value] of Object.entries({ cursor, endCursor }))
    if (value != null && typeof value !== "string") throw wrong(`${name} must be a string`, value);
  for (const name of ["maximumRowsRead", "maximumBytesRead"] as const) {
    const value = most[name];
    // Those below 1 have an error of their own.
    if (value != null && !Number.isInteger(value))
      throw wrong(`${name} must be a natural number`, value);
  }
}

function isCount(value: unknown) {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function writeCursor(cursor: Cursor, fingerprint: string) {
  const place = cursor === "end" ? "e" : `k${cursor.key ?? ""}`;
  return fingerprint + Buffer.from(place, "latin1").toString("hex");
}

function readCursor(text: string, fingerprint: string): Cursor {
  if (!text.startsWith(fingerprint)) {
    const message =
      "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a different query.";
    throw new UserError(message, { isConvexSystemError: true, paginationError: "InvalidCursor" });
  }
  const place = Buffer.from(text.slice(fingerprint.length), "hex").toString("latin1");
  return place === "e" ? "end" : { key: place.slice(1) || null };
}
