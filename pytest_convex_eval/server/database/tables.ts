/** All documents of a deployment, in memory: tables by component, each with its indexes. */

import { createHash } from "node:crypto";

import { decodeId, encodeId } from "../values/ids.ts";
import { mismatch } from "../values/validation.ts";
import { SortedIndex } from "./sorted_index.ts";
import { UserError } from "./user_error.ts";
import type { Schema, Table as TableSchema } from "../protocol.ts";
import type { Document } from "./sorted_index.ts";

/** The numbers below are the system's (convex-deployment facts: user tables start here). */
const FIRST_USER_TABLE = 10_001;
/** The most tables that a deployment can have, the system's own left out. */
export const MAX_TABLES = 10_000;
export const STORAGE = "_storage";
export const SCHEDULED = "_scheduled_functions";
/** The step between neighbouring doubles at today's milliseconds. */
const CREATION_STEP = 2 ** -12;

export class Table {
  component: string;
  name: string;
  number: number;
  /** by id */
  documents: Map<string, Document> = new Map();
  indexes: Map<string, SortedIndex> = new Map();
  schema: TableSchema | null = null;
  /** Counts commits that changed it. */
  version = 0;

  constructor(component: string, name: string, number: number) {
    this.component = component;
    this.name = name;
    this.number = number;
    this.useSchema(null);
  }

  /** Whether a document may be called by the user's own functions. */
  get isSystem() {
    return this.name.startsWith("_");
  }

  useSchema(schema: TableSchema | null) {
    this.schema = schema;
    const wanted = [
      new SortedIndex("by_creation_time", ["_creationTime", "_id"]),
      new SortedIndex("by_id", ["_id"]),
      ...(schema?.indexes ?? []).map(
        (each) => new SortedIndex(each.indexDescriptor, [...each.fields, "_id"]),
      ),
      ...(schema?.stagedDbIndexes ?? []).map(
        (each) => new SortedIndex(each.indexDescriptor, [...each.fields, "_id"], true),
      ),
    ];
    const indexes: Map<string, SortedIndex> = new Map();
    for (const index of wanted) {
      const known = this.indexes.get(index.name);
      if (known !== undefined && known.fields.join() === index.fields.join()) {
        known.staged = index.staged;
        indexes.set(index.name, known);
        continue;
      }
      for (const document of this.documents.values()) index.add(document);
      indexes.set(index.name, index);
    }
    this.indexes = indexes;
  }

  /** The oldest first; those of the map are in the order in which they were stored. */
  inOrder(): Document[] {
    return this.indexes.get("by_creation_time")?.documents ?? [];
  }

  put(document: Document) {
    const id = String(document["_id"]);
    const old = this.documents.get(id);
    for (const index of this.indexes.values()) {
      if (old !== undefined) index.delete(old);
      index.add(document);
    }
    this.documents.set(id, document);
  }

  drop(id: string) {
    const old = this.documents.get(id);
    if (old === undefined) return;
    for (const index of this.indexes.values()) index.delete(old);
    this.documents.delete(id);
  }

  clear() {
    this.documents.clear();
    this.indexes.clear();
    this.useSchema(this.schema);
  }
}

export type Counters = {
  userTables: number;
  systemTables: number;
  ids: number;
  lastCreationTime: number;
};

export class Tables {
  /** by component path and name */
  #components: Map<string, Map<string, Table>> = new Map();
  #byNumber: Map<number, Table> = new Map();
  #userTables = 0;
  #systemTables = 0;
  #ids = 0;
  #lastCreationTime = 0;
  schemas: Map<string, Schema | null> = new Map();

  /** What follows ids, times and numbers of tables. */
  get counters(): Counters {
    const [userTables, systemTables] = [this.#userTables, this.#systemTables];
    return { userTables, systemTables, ids: this.#ids, lastCreationTime: this.#lastCreationTime };
  }

  /** A deployment's tables as they were, with their documents; their schemas come with `useSchemas`. */
  restore(
    { userTables, systemTables, ids, lastCreationTime }: Counters,
    tables: Iterable<{
      number: number;
      component: string;
      name: string;
      documents: Iterable<Document>;
    }>,
  ) {
    for (const { number, component, name, documents } of tables) {
      const table = this.#add(component, name, number);
      for (const document of documents) table.put(document);
    }
    [this.#userTables, this.#systemTables, this.#ids, this.#lastCreationTime] = [
      userTables,
      systemTables,
      ids,
      lastCreationTime,
    ];
  }

  all(): Table[] {
    return [...this.#byNumber.values()];
  }

  /** Whether there can be no table more. */
  get isFull() {
    if (this.#byNumber.size < MAX_TABLES) return false;
    return this.all().filter((table) => !table.isSystem).length >= MAX_TABLES;
  }

  /** A deployment without tables. */
  clear() {
    this.#components.clear();
    this.#byNumber.clear();
    this.#userTables = this.#systemTables = this.#ids = this.#lastCreationTime = 0;
    this.schemas.clear();
  }

  /**
   * Makes schemas live: their tables exist from now on, and indexes are those that they name.
   * @param schemas by component path; components that are left out lose their data
   */
  useSchemas(schemas: Map<string, Schema | null>) {
    for (const component of this.#components.keys()) {
      if (schemas.has(component)) continue;
      for (const table of this.of(component)) this.#byNumber.delete(table.number);
      this.#components.delete(component);
    }
    this.schemas = schemas;
    for (const [component, schema] of schemas) {
      this.create(component, STORAGE);
      this.create(component, SCHEDULED);
      const byName = new Map((schema?.tables ?? []).map((each) => [each.tableName, each]));
      for (const name of byName.keys()) this.create(component, name);
      for (const table of this.of(component)) table.useSchema(byName.get(table.name) ?? null);
    }
  }

  of(component: string): Table[] {
    return [...(this.#components.get(component)?.values() ?? [])];
  }

  find(component: string, name: string): Table | undefined {
    return this.#components.get(component)?.get(name);
  }

  /** The table, made now if there is none. */
  create(component: string, name: string): Table {
    const known = this.find(component, name);
    if (known !== undefined) return known;
    return this.#add(component, name, this.#nextNumber(name));
  }

  #add(component: string, name: string, number: number): Table {
    const table = new Table(component, name, number);
    const tables = this.#components.get(component) ?? new Map();
    tables.set(name, table);
    this.#components.set(component, tables);
    this.#byNumber.set(number, table);
    return table;
  }

  /**
   * Gives tables other numbers; empty ones that have a wanted number give it up.
   * @returns takes it back
   * @throws UserError a number belongs to a table with documents
   */
  renumber(wanted: Map<Table, number>): () => void {
    const before: Map<Table, number> = new Map();
    const taken = new Set(wanted.values());
    if (taken.size < wanted.size)
      throw new UserError("Ids of two tables of the import are of one table.");
    for (const [table, number] of wanted) {
      const owner = this.#byNumber.get(number);
      const stays = owner !== undefined && !wanted.has(owner) && owner.documents.size > 0;
      if (stays || table.documents.size > 0) {
        const whose = stays ? owner.name : table.name;
        throw new UserError(
          `The ids of table "${table.name}" can't be kept: documents of "${whose}" are here. Replace them too, or leave out \`_id\`.`,
        );
      }
    }
    for (const number of taken) {
      const owner = this.#byNumber.get(number);
      if (owner !== undefined) this.#release(owner, before);
    }
    for (const table of wanted.keys()) if (!before.has(table)) this.#release(table, before);
    const [userTables, systemTables] = [this.#userTables, this.#systemTables];
    // Numbers of tables to come are greater than all that are there.
    this.#userTables = Math.max(
      this.#userTables,
      ...[...taken].map((number) => number - FIRST_USER_TABLE + 1),
    );
    for (const table of before.keys()) {
      const number = wanted.get(table) ?? this.#nextNumber(table.name, taken);
      table.number = number;
      this.#byNumber.set(number, table);
    }
    return () => {
      [this.#userTables, this.#systemTables] = [userTables, systemTables];
      for (const table of before.keys()) this.#byNumber.delete(table.number);
      for (const [table, number] of before) {
        table.number = number;
        this.#byNumber.set(number, table);
      }
    };
  }

  #release(table: Table, before: Map<Table, number>) {
    before.set(table, table.number);
    this.#byNumber.delete(table.number);
  }

  #nextNumber(name: string, taken: Set<number> = new Set()) {
    if (!name.startsWith("_")) return FIRST_USER_TABLE + this.#userTables++;
    do this.#systemTables += 1;
    while (taken.has(this.#systemTables) || this.#byNumber.has(this.#systemTables));
    return this.#systemTables;
  }

  /** Undoes `create`. */
  forget(table: Table) {
    if (this.find(table.component, table.name) !== table) return;
    this.#components.get(table.component)?.delete(table.name);
    this.#byNumber.delete(table.number);
  }

  /** The table that an id belongs to: undefined where there is none, null for what is no id. */
  tableOf(id: string): Table | undefined | null {
    const decoded = decodeId(id);
    return decoded === null ? null : this.#byNumber.get(decoded.table);
  }

  namesFor(component: string): (id: string) => string | undefined | null {
    return (id) => {
      const table = this.tableOf(id);
      return table === null || table === undefined
        ? table
        : table.component === component
          ? table.name
          : undefined;
    };
  }

  /** A new document's id: the same ones in the same order after each start, so that runs can be compared. */
  newId(table: Table) {
    for (;;) {
      this.#ids += 1;
      const id = encodeId(
        table.number,
        createHash("sha256").update(`document ${this.#ids}`).digest().subarray(0, 16),
      );
      // An imported document may have the id: another deployment counted as this one does.
      if (!table.documents.has(id)) return id;
    }
  }

  /** Milliseconds, greater than every one before. */
  newCreationTime(now: number) {
    this.#lastCreationTime =
      now > this.#lastCreationTime ? now : this.#lastCreationTime + CREATION_STEP;
    return this.#lastCreationTime;
  }

  /**
   * The first document that a schema does not allow.
   * @param schemas by component path
   */
  violation(
    schemas: Map<string, Schema | null>,
  ): { component: string; table: string; error: string } | null {
    for (const [component, schema] of schemas) {
      if (schema === null || !schema.schemaValidation) continue;
      const tableOf = this.namesFor(component);
      for (const { tableName, documentType } of schema.tables) {
        if (documentType === null) continue;
        for (const document of this.find(component, tableName)?.documents.values() ?? []) {
          const why = mismatch(documentType, document, { tableOf, isDocument: true });
          if (why === null) continue;
          const error = `Document with ID "${document["_id"]}" in table "${tableName}" does not match the schema: ${why}`;
          return { component, table: tableName, error };
        }
      }
    }
    return null;
  }
}
