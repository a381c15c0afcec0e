/**
 * All documents of a deployment, in memory: tables by component, each with its indexes.
 * @import { Schema, Table as TableSchema } from "../protocol.d.ts"
 * @import { Document } from "./sorted_index.mjs"
 */

import { createHash } from "node:crypto";

import { decodeId, encodeId } from "../values/ids.mjs";
import { mismatch } from "../values/validation.mjs";
import { SortedIndex } from "./sorted_index.mjs";
import { UserError } from "./user_error.mjs";

/** The numbers below are the system's (convex-deployment facts: user tables start here). */
const FIRST_USER_TABLE = 10_001;
/** The most tables that a deployment can have, the system's own left out. */
export const MAX_TABLES = 10_000;
export const STORAGE = "_storage";
export const SCHEDULED = "_scheduled_functions";
/** The step between neighbouring doubles at today's milliseconds. */
const CREATION_STEP = 2 ** -12;

export class Table {
  /** @type {Map<string, Document>} by id */
  documents = new Map();
  /** @type {Map<string, SortedIndex>} */
  indexes = new Map();
  /** @type {TableSchema | null} */
  schema = null;
  /** Counts commits that changed it. */
  version = 0;

  /** @param {string} component @param {string} name @param {number} number */
  constructor(component, name, number) {
    this.component = component;
    this.name = name;
    this.number = number;
    this.useSchema(null);
  }

  /** Whether a document may be called by the user's own functions. */
  get isSystem() {
    return this.name.startsWith("_");
  }

  /** @param {TableSchema | null} schema */
  useSchema(schema) {
    this.schema = schema;
    const wanted = [
      new SortedIndex("by_creation_time", ["_creationTime", "_id"]),
      new SortedIndex("by_id", ["_id"]),
      ...(schema?.indexes ?? []).map((each) => new SortedIndex(each.indexDescriptor, [...each.fields, "_id"])),
      ...(schema?.stagedDbIndexes ?? []).map(
        (each) => new SortedIndex(each.indexDescriptor, [...each.fields, "_id"], true),
      ),
    ];
    /** @type {Map<string, SortedIndex>} */
    const indexes = new Map();
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

  /** The oldest first; those of the map are in the order in which they were stored. @returns {Document[]} */
  inOrder() {
    return this.indexes.get("by_creation_time")?.documents ?? [];
  }

  /** @param {Document} document */
  put(document) {
    const id = String(document["_id"]);
    const old = this.documents.get(id);
    for (const index of this.indexes.values()) {
      if (old !== undefined) index.delete(old);
      index.add(document);
    }
    this.documents.set(id, document);
  }

  /** @param {string} id */
  drop(id) {
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

/** @typedef {{ userTables: number, systemTables: number, ids: number, lastCreationTime: number }} Counters */

export class Tables {
  /** @type {Map<string, Map<string, Table>>} by component path and name */
  #components = new Map();
  /** @type {Map<number, Table>} */
  #byNumber = new Map();
  #userTables = 0;
  #systemTables = 0;
  #ids = 0;
  #lastCreationTime = 0;
  /** @type {Map<string, Schema | null>} */
  schemas = new Map();

  /** What follows ids, times and numbers of tables. @returns {Counters} */
  get counters() {
    const [userTables, systemTables] = [this.#userTables, this.#systemTables];
    return { userTables, systemTables, ids: this.#ids, lastCreationTime: this.#lastCreationTime };
  }

  /**
   * A deployment's tables as they were, with their documents; their schemas come with `useSchemas`.
   * @param {Counters} counters @param {Iterable<{ number: number, component: string, name: string, documents: Iterable<Document> }>} tables
   */
  restore({ userTables, systemTables, ids, lastCreationTime }, tables) {
    for (const { number, component, name, documents } of tables) {
      const table = this.#add(component, name, number);
      for (const document of documents) table.put(document);
    }
    [this.#userTables, this.#systemTables, this.#ids, this.#lastCreationTime] = [userTables, systemTables, ids, lastCreationTime];
  }

  /** @returns {Table[]} */
  all() {
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
   * @param {Map<string, Schema | null>} schemas by component path; components that are left out lose their data
   */
  useSchemas(schemas) {
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

  /** @param {string} component @returns {Table[]} */
  of(component) {
    return [...(this.#components.get(component)?.values() ?? [])];
  }

  /** @param {string} component @param {string} name @returns {Table | undefined} */
  find(component, name) {
    return this.#components.get(component)?.get(name);
  }

  /** The table, made now if there is none. @param {string} component @param {string} name @returns {Table} */
  create(component, name) {
    const known = this.find(component, name);
    if (known !== undefined) return known;
    return this.#add(component, name, this.#nextNumber(name));
  }

  /** @param {string} component @param {string} name @param {number} number @returns {Table} */
  #add(component, name, number) {
    const table = new Table(component, name, number);
    const tables = this.#components.get(component) ?? new Map();
    tables.set(name, table);
    this.#components.set(component, tables);
    this.#byNumber.set(number, table);
    return table;
  }

  /**
   * Gives tables other numbers; empty ones that have a wanted number give it up.
   * @param {Map<Table, number>} wanted
   * @returns {() => void} takes it back
   * @throws {UserError} a number belongs to a table with documents
   */
  renumber(wanted) {
    /** @type {Map<Table, number>} */
    const before = new Map();
    const taken = new Set(wanted.values());
    if (taken.size < wanted.size) throw new UserError("Ids of two tables of the import are of one table.");
    for (const [table, number] of wanted) {
      const owner = this.#byNumber.get(number);
      const stays = owner !== undefined && !wanted.has(owner) && owner.documents.size > 0;
      if (stays || table.documents.size > 0) {
        const whose = stays ? owner.name : table.name;
        throw new UserError(`The ids of table "${table.name}" can't be kept: documents of "${whose}" are here. Replace them too, or leave out \`_id\`.`);
      }
    }
    for (const number of taken) {
      const owner = this.#byNumber.get(number);
      if (owner !== undefined) this.#release(owner, before);
    }
    for (const table of wanted.keys()) if (!before.has(table)) this.#release(table, before);
    const [userTables, systemTables] = [this.#userTables, this.#systemTables];
    // Numbers of tables to come are greater than all that are there.
    this.#userTables = Math.max(this.#userTables, ...[...taken].map((number) => number - FIRST_USER_TABLE + 1));
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

  /** @param {Table} table @param {Map<Table, number>} before */
  #release(table, before) {
    before.set(table, table.number);
    this.#byNumber.delete(table.number);
  }

  /** @param {string} name @param {Set<number>} [taken] */
  #nextNumber(name, taken = new Set()) {
    if (!name.startsWith("_")) return FIRST_USER_TABLE + this.#userTables++;
    do this.#systemTables += 1;
    while (taken.has(this.#systemTables) || this.#byNumber.has(this.#systemTables));
    return this.#systemTables;
  }

  /** Undoes `create`. @param {Table} table */
  forget(table) {
    if (this.find(table.component, table.name) !== table) return;
    this.#components.get(table.component)?.delete(table.name);
    this.#byNumber.delete(table.number);
  }

  /** The table that an id belongs to: undefined where there is none, null for what is no id.
   * @param {string} id @returns {Table | undefined | null} */
  tableOf(id) {
    const decoded = decodeId(id);
    return decoded === null ? null : this.#byNumber.get(decoded.table);
  }

  /** @param {string} component @returns {(id: string) => string | undefined | null} */
  namesFor(component) {
    return (id) => {
      const table = this.tableOf(id);
      return table === null || table === undefined ? table : table.component === component ? table.name : undefined;
    };
  }

  /** A new document's id: the same ones in the same order after each start, so that runs can be compared.
   * @param {Table} table */
  newId(table) {
    for (;;) {
      this.#ids += 1;
      const id = encodeId(table.number, createHash("sha256").update(`document ${this.#ids}`).digest().subarray(0, 16));
      // An imported document may have the id: another deployment counted as this one does.
      if (!table.documents.has(id)) return id;
    }
  }

  /** Milliseconds, greater than every one before. @param {number} now */
  newCreationTime(now) {
    this.#lastCreationTime = now > this.#lastCreationTime ? now : this.#lastCreationTime + CREATION_STEP;
    return this.#lastCreationTime;
  }

  /**
   * The first document that a schema does not allow.
   * @param {Map<string, Schema | null>} schemas by component path
   * @returns {{ component: string, table: string, error: string } | null}
   */
  violation(schemas) {
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
