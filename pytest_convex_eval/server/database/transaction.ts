/**
 * What one mutation (with all that it calls) or one query reads and writes. Only one runs at a time, so writes go
 * straight to the tables, and a log of changes takes them back.
 */

import { decodeId } from "../values/ids.ts";
import { mismatch } from "../values/validation.ts";
import { isPending, resolved, sizeOf, special } from "../values/values.ts";
import { checkLimits, checkTableName, documentOf, fieldsOf, invalidArgument } from "./documents.ts";
import { without } from "./history.ts";
import { MAX_TABLES, type Table, type Tables } from "./tables.ts";
import { UserError } from "./user_error.ts";
import type { Json } from "../protocol.ts";
import type { Document } from "./sorted_index.ts";

const MEBIBYTE = 1024 * 1024;

/** The most that one function execution may use (https://docs.convex.dev/production/state/limits). */
export const LIMITS = {
  documentsRead: 32_000,
  bytesRead: 16 * MEBIBYTE,
  databaseQueries: 4096,
  documentsWritten: 16_000,
  bytesWritten: 16 * MEBIBYTE,
  functionsScheduled: 1000,
  scheduledFunctionArgsBytes: 16 * MEBIBYTE,
};
export type Metric = keyof typeof LIMITS;

const READ_ADVICE =
  "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";

function mapLimits<T>(of: (metric: Metric, limit: number) => T): Record<Metric, T> {
  const entries = Object.entries(LIMITS).map(([name, limit]) => [name, of(name as Metric, limit)]);
  return Object.fromEntries(entries);
}

/** The most that may be used by some time, and the limit that this follows from. */
export type Most = Readonly<Record<Metric, { total: number; limit: number }>>;

const WHOLE: Most = mapLimits((_, limit) => ({ total: limit, limit }));

const nothingUsed = (): Record<Metric, number> => ({
  ...{ documentsRead: 0, bytesRead: 0, databaseQueries: 0, documentsWritten: 0, bytesWritten: 0 },
  ...{ functionsScheduled: 0, scheduledFunctionArgsBytes: 0 },
});

const EXCEEDED: Record<Metric, (limit: number) => string> = {
  documentsRead: (limit) =>
    `Too many documents read in a single function execution (limit: ${limit}). ${READ_ADVICE}`,
  bytesRead: (limit) =>
    `Too many bytes read in a single function execution (limit: ${limit} bytes). ${READ_ADVICE}`,
  databaseQueries: (limit) =>
    `Too many reads in a single function execution (limit: ${limit}). ${READ_ADVICE}`,
  documentsWritten: (limit) => `Too many writes in a single function execution (limit: ${limit})`,
  bytesWritten: (limit) =>
    `Too many bytes written in a single function execution (limit: ${limit} bytes)`,
  functionsScheduled: (limit) => `Too many functions scheduled by this mutation (limit: ${limit})`,
  scheduledFunctionArgsBytes: (limit) =>
    `Too large total size of the arguments of scheduled functions from this mutation (limit: ${limit} bytes)`,
};

/** What undoes a write. `id` null: the table itself was made; `old` null: the document was. */
export type Change = { table: Table; id: string | null; old: Document | null };

export class Transaction {
  tables: Tables;
  now: number;
  /** In order. */
  #changes: Change[] = [];
  /** run when it is committed */
  #afterwards: (() => void)[] = [];
  #written: Set<Table> = new Set();
  /** Where documents were written that hold the timestamp of this commit, by their ids. */
  #pending: Map<string, Table> = new Map();
  /** Whether what it may use is limited. */
  isLimited = true;
  /** By now. */
  #most: Most = WHOLE;
  /** Whether its changes of documents are all that it does. */
  isUndoable = true;
  /** The last commit that it sees: nanoseconds. */
  snapshot = 0n;
  /** What queries depend on: `component/table`. */
  reads: Set<string> = new Set();
  used = nothingUsed();
  /** Functions that others have called in it. */
  functions = 0;

  /** @param now milliseconds: the creation time of what it inserts */
  constructor(tables: Tables, now: number) {
    this.tables = tables;
    this.now = now;
  }

  /** @throws UserError */
  use(metric: Metric, amount: number = 1) {
    this.used[metric] += amount;
    const { total, limit } = this.#most[metric];
    if (this.isLimited && this.used[metric] > total) throw new UserError(EXCEEDED[metric](limit));
  }

  /** What may be used still. */
  remaining(metric: Metric) {
    return Math.max(this.#most[metric].total - this.used[metric], 0);
  }

  /** Has `work` done, which may use this much; not more than is left. */
  async within<T>(limits: Partial<Record<string, Json>>, work: () => Promise<T>): Promise<T> {
    const before = this.#most;
    this.#most = mapLimits((metric) => {
      const limit = limits[metric];
      const total = typeof limit === "number" ? this.used[metric] + limit : Infinity;
      return typeof limit === "number" && total < before[metric].total
        ? { total, limit }
        : before[metric];
    });
    try {
      return await work();
    } finally {
      this.#most = before;
    }
  }

  /** A place to roll back to. */
  savepoint() {
    return { changes: this.#changes.length, afterwards: this.#afterwards.length };
  }

  rollBack(savepoint: ReturnType<Transaction["savepoint"]>) {
    for (
      let change = this.#pop(savepoint.changes);
      change !== null;
      change = this.#pop(savepoint.changes)
    ) {
      const { table, id, old } = change;
      if (id === null) this.tables.forget(table);
      else if (old === null) table.drop(id);
      else table.put(old);
    }
    // A transaction that was aborted meanwhile has fewer.
    this.#afterwards.splice(savepoint.afterwards);
  }

  /** Has `work`, which must not write, done on what was committed before this transaction. */
  async onSnapshot<T>(work: () => Promise<T>): Promise<T> {
    const changes = this.#changes;
    this.#changes = [];
    try {
      return await without(changes, work);
    } finally {
      this.#changes = changes;
    }
  }

  #pop(length: number) {
    return this.#changes.length > length ? (this.#changes.pop() ?? null) : null;
  }

  /** What was changed so far, in order. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** Takes everything back. */
  abort() {
    this.rollBack({ changes: 0, afterwards: 0 });
  }

  /** Takes everything back, and begins anew: what it did so far does not count. */
  restart() {
    this.abort();
    this.used = nothingUsed();
    this.functions = 0;
    this.reads.clear();
    this.#written.clear();
    this.#pending.clear();
  }

  /** Whether documents may hold the timestamp of its commit. */
  get isPending() {
    return this.#pending.size > 0;
  }

  /** Puts the timestamp of its commit into what it wrote: it writes nothing any more. */
  resolve(commitTs: bigint) {
    for (const [id, table] of this.#pending) {
      const document = table.documents.get(id);
      if (document !== undefined) table.put(resolved(document, commitTs) as Document);
    }
    this.#pending.clear();
  }

  /** @returns what it changed: `component/table` */
  commit(): Set<string> {
    const changed = this.#changes.length > 0 ? this.#written : new Set<Table>();
    for (const table of changed) table.version += 1;
    for (const each of this.#afterwards) each();
    return new Set([...changed].map((table) => `${table.component}/${table.name}`));
  }

  /** The documents that it made, changed or deleted, by their ids; each id once. */
  changedDocuments(): Map<string, Table> {
    const found = new Map();
    for (const { table, id } of this.#changes) if (id !== null) found.set(id, table);
    return found;
  }

  /** Has `work` done if and when this is committed. */
  afterwards(work: () => void) {
    this.#afterwards.push(work);
  }

  // ---- Reading ----------------------------------------------------------------------------------

  dependOn(component: string, table: string) {
    this.reads.add(`${component}/${table}`);
  }

  countRead(document: Document) {
    this.used.bytesRead += sizeOf(document);
    this.use("documentsRead");
    this.use("bytesRead", 0);
  }

  get(
    component: string,
    { id, isSystem, table: name }: { id: Json; isSystem: boolean; table?: Json },
  ): Document | null {
    const method = isSystem ? "db.system.get" : "db.get";
    const table = this.#resolve(component, id, name, method);
    this.use("databaseQueries");
    if (table === undefined) return null;
    if (table.isSystem !== isSystem) {
      throw new UserError(
        table.isSystem
          ? "System tables can only be accessed with db.system."
          : "User tables cannot be accessed with db.system.",
      );
    }
    this.dependOn(component, table.name);
    const document = table.documents.get(String(id)) ?? null;
    if (document !== null) this.countRead(document);
    return document;
  }

  /**
   * The table of an id; undefined where it is of no table of the component.
   * @param expected the table that it must be of, where one is named
   * @param method as users call it: `db.get`
   * @throws UserError
   */
  #resolve(component: string, id: Json, expected: Json | undefined, method: string) {
    const problem = decodingProblem(id);
    if (problem !== null) throw invalidArgument("id", method, problem);
    const found = this.tables.tableOf(String(id));
    const table = found?.component === component ? found : undefined;
    if (typeof expected === "string" && table !== undefined && table.name !== expected) {
      const why = `expected to be an Id<"${expected}">, got Id<"${table.name}"> instead.`;
      throw invalidArgument("id", method, why);
    }
    return table;
  }

  // ---- Writing ----------------------------------------------------------------------------------

  /** @returns the new id */
  insert(component: string, name: string, value: Json): string {
    checkTableName(name, "db.insert");
    if (name.startsWith("_"))
      throw new UserError("System tables (prefixed with `_`) are read-only.");
    const given = fieldsOf(value, "db.insert");
    const table = this.table(component, name);
    const _id = this.tables.newId(table);
    const _creationTime = this.tables.newCreationTime(this.now);
    this.write(table, documentOf(given, { _id, _creationTime }));
    return _id;
  }

  patch(component: string, { id, value, table: name }: { id: Json; value: Json; table?: Json }) {
    const [table, old] = this.#existing(component, id, name, "db.patch", "Update");
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new UserError("Value must be an object");
    const merged: Document = { ...old };
    for (const [field, each] of Object.entries(value)) {
      if (special(each) === "$undefined") delete merged[field];
      else merged[field] = each;
    }
    this.#replaceWith(table, old, merged, "db.patch");
  }

  replace(component: string, { id, value, table: name }: { id: Json; value: Json; table?: Json }) {
    const [table, old] = this.#existing(component, id, name, "db.replace", "Replace");
    this.#replaceWith(table, old, value, "db.replace");
  }

  remove(component: string, { id, table: name }: { id: Json; table?: Json }) {
    const [table, old] = this.#existing(component, id, name, "db.delete", "Delete");
    this.use("documentsWritten");
    this.drop(table, old);
  }

  #replaceWith(table: Table, old: Document, value: Json, method: string) {
    const { _id, _creationTime = 0 } = old;
    this.write(table, documentOf(fieldsOf(value, method), { _id: String(_id), _creationTime }));
  }

  #existing(
    component: string,
    id: Json,
    name: Json | undefined,
    method: string,
    verb: string,
  ): [Table, Document] {
    const table = this.#resolve(component, id, name, method);
    if (table?.isSystem) throw new UserError("System tables (prefixed with `_`) are read-only.");
    const document = table?.documents.get(String(id));
    if (table === undefined || document === undefined) {
      throw new UserError(`${verb} on nonexistent document ID ${id}`);
    }
    return [table, document];
  }

  /** Stores a document, checked against the schema. */
  write(table: Table, document: Document) {
    const size = checkLimits(document);
    this.use("documentsWritten");
    this.use("bytesWritten", size);
    this.#checkSchema(table, document);
    if (isPending(document)) this.#pending.set(String(document["_id"]), table);
    this.put(table, document);
  }

  /** Stores a document of the system's own. */
  put(table: Table, document: Document) {
    const id = String(document["_id"]);
    const old = table.documents.get(id);
    table.put(document);
    this.#written.add(table);
    this.#changes.push({ table, id, old: old ?? null });
  }

  drop(table: Table, document: Document) {
    const id = String(document["_id"]);
    table.drop(id);
    this.#written.add(table);
    this.#changes.push({ table, id, old: document });
  }

  /** The table, made now if there is none, until this is taken back. */
  table(component: string, name: string) {
    const known = this.tables.find(component, name);
    if (known !== undefined) return known;
    if (this.tables.isFull) throw new UserError(`Number of tables cannot exceed ${MAX_TABLES}.`);
    const table = this.tables.create(component, name);
    this.#changes.push({ table, id: null, old: null });
    return table;
  }

  #checkSchema(table: Table, document: Document) {
    const documentType = table.schema?.documentType ?? null;
    if (documentType === null || !this.tables.schemas.get(table.component)?.schemaValidation)
      return;
    const tableOf = this.tables.namesFor(table.component);
    const why = mismatch(documentType, document, { tableOf, isDocument: true });
    if (why === null) return;
    throw new UserError(
      `Failed to insert or update a document in table "${table.name}" because it does not match the schema: ${why}`,
    );
  }
}

/** Why a value is no id; null for one. */
export function decodingProblem(id: Json): string | null {
  if (typeof id !== "string") return "Unable to decode ID: not a string";
  if (decodeId(id) !== null) return null;
  const isOfAnotherLength = id.length < 31 || id.length > 37;
  return `Unable to decode ID: ${isOfAnotherLength ? `Invalid ID length ${id.length}` : `Invalid ID ${JSON.stringify(id)}`}`;
}
