/**
 * Everything of a deployment that outlives its process, told to the store as it happens and read back at a start.
 * What belongs to one commit is handed over together.
 * @import { Cron, Push } from "../protocol.d.ts"
 * @import { Document } from "../database/sorted_index.mjs"
 * @import { Counters, Table, Tables } from "../database/tables.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { Store } from "./store.mjs"
 */

import v8 from "node:v8";

/** @typedef {{ component: string, path: string, owner: string }} SavedJob */
/** @typedef {{ uuid: string, id: string, component: string }} SavedFile */
/** @typedef {{ cron: Cron, component: string, next: number | null }} SavedCron */
/** What gives an instance its admin key. @typedef {{ name: string, secret: string }} SavedInstance */

/**
 * @typedef {object} Saved
 * @property {Push | null} push
 * @property {Record<string, string>} variables
 * @property {Counters} counters
 * @property {number} calls how many queries and mutations were run
 * @property {number} clockOffset milliseconds
 * @property {{ number: number, component: string, name: string, documents: Document[] }[]} tables
 * @property {SavedFile[]} files
 * @property {[string, SavedJob][]} jobs by the id of their row
 * @property {[string, SavedCron][]} crons
 */

/** @typedef {{ push: Push | null, tables: Tables, crons: Iterable<[string, SavedCron]>, variables: Record<string, string>, calls: number, clockOffset: number }} State */

export class Journal {
  /** Those that the store has. @type {Map<number, { component: string, name: string }>} */
  #tables = new Map();

  /** @param {Store} store */
  constructor(store) {
    this.store = store;
  }

  /** @returns {Promise<void>} */
  durable() {
    return this.store.durable();
  }

  // ---- Reading back -----------------------------------------------------------------------------

  /** The instance that the data is of; null when there is none yet. @returns {SavedInstance | null} */
  instance() {
    const json = this.#meta("instance");
    return typeof json === "string" ? JSON.parse(json) : null;
  }

  /** The oldest first. @returns {[string, any][]} */
  answers() {
    const rows = this.store.database.prepare("SELECT key, json FROM answers ORDER BY rowid").all();
    return rows.map(({ key, json }) => [String(key), JSON.parse(String(json))]);
  }

  /** @returns {Saved | null} null when nothing was saved yet */
  saved() {
    const counters = this.#meta("counters");
    if (typeof counters !== "string") return null;
    const push = this.#meta("push");
    const { calls, ...rest } = JSON.parse(counters);
    const rows = (/** @type {string} */ sql) => /** @type {any[]} */ (this.store.database.prepare(sql).all());
    /** @type {Map<number, Document[]>} */
    const documents = new Map();
    const tables = rows("SELECT number, component, name FROM tables ORDER BY number").map((table) => {
      const own = /** @type {Document[]} */ ([]);
      documents.set(table.number, own);
      this.#tables.set(table.number, { component: table.component, name: table.name });
      return { number: table.number, component: table.component, name: table.name, documents: own };
    });
    for (const row of this.store.database.prepare("SELECT table_number, json FROM documents ORDER BY rowid").iterate()) {
      documents.get(Number(row["table_number"]))?.push(JSON.parse(String(row["json"])));
    }
    return {
      push: push instanceof Uint8Array ? v8.deserialize(push) : null,
      variables: Object.fromEntries(rows("SELECT name, value FROM variables").map(({ name, value }) => [name, value])),
      counters: rest,
      calls,
      clockOffset: Number(this.#meta("clockOffset") ?? 0),
      tables,
      files: rows("SELECT uuid, id, component FROM files").map((row) => ({ ...row })),
      jobs: rows("SELECT id, component, path, owner FROM jobs ORDER BY rowid").map(({ id, ...job }) => [id, job]),
      crons: rows("SELECT key, cron, next FROM crons").map(({ key, cron, next }) => [key, { ...JSON.parse(cron), next }]),
    };
  }

  /** @param {string} key */
  #meta(key) {
    return this.store.database.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.["value"];
  }

  // ---- Writing ----------------------------------------------------------------------------------

  /** @param {SavedInstance} instance */
  useInstance(instance) {
    this.store.add("putMeta", "instance", JSON.stringify(instance));
    this.store.flush();
  }

  /** A transaction's documents, with what was told during its commit. @param {Transaction} transaction @param {number} calls */
  commit(transaction, calls) {
    const changed = transaction.changedDocuments();
    for (const table of new Set(changed.values())) this.#putTable(table);
    for (const [id, table] of changed) {
      const document = table.documents.get(id);
      if (document === undefined) this.store.add("dropDocument", id);
      else this.store.add("putDocument", id, table.number, JSON.stringify(document));
    }
    if (changed.size > 0) this.#putCounters(transaction.tables, calls);
    this.store.flush();
  }

  /** What is live now; tables that are gone take their documents and files with them. @param {State} state */
  live({ push, tables, crons, variables, calls, clockOffset }) {
    this.store.add("putMeta", "push", push === null ? "" : v8.serialize(push));
    this.tables(tables);
    this.store.add("clearCrons");
    for (const [key, timer] of crons) this.#putCron(key, timer);
    this.#putVariables(variables);
    this.store.add("putMeta", "clockOffset", clockOffset);
    this.#putCounters(tables, calls);
    this.store.flush();
  }

  /** Which tables there are; handed over with what comes next. @param {Tables} tables */
  tables(tables) {
    const all = tables.all();
    const numbers = new Set(all.map(({ number }) => number));
    const components = new Set(all.map(({ component }) => component));
    for (const [number, { component }] of this.#tables) {
      if (numbers.has(number)) continue;
      this.store.add("dropTable", number);
      this.store.add("dropDocuments", number);
      if (!components.has(component)) this.store.add("dropFiles", component);
      this.#tables.delete(number);
    }
    for (const table of all) this.#putTable(table);
  }

  /** Forgets documents, files and what was scheduled; `live` says what there is instead. */
  erase() {
    for (const name of /** @type {const} */ (["clearDocuments", "clearTables", "clearFiles", "clearJobs"])) this.store.add(name);
    this.#tables.clear();
  }

  /** @param {Record<string, string>} variables */
  variables(variables) {
    this.#putVariables(variables);
    this.store.flush();
  }

  /** A job will run. In the commit that schedules it. @param {string} id @param {SavedJob} job */
  job(id, { component, path, owner }) {
    this.store.add("putJob", id, component, path, owner);
  }

  /** A job will never run again. In the commit that ends it. @param {string} id */
  jobOver(id) {
    this.store.add("dropJob", id);
  }

  /** In the commit of its row. @param {SavedFile} file @param {Buffer} bytes */
  file({ uuid, id, component }, bytes) {
    this.store.add("putFile", uuid, id, component, bytes);
  }

  /** In the commit of its row. @param {string} uuid */
  fileOver(uuid) {
    this.store.add("dropFile", uuid);
  }

  /** What a client was answered, of which the newest are kept. In the commit that it tells of.
   * @param {string} key @param {object} answer @param {number} kept */
  answer(key, answer, kept) {
    this.store.add("putAnswer", key, JSON.stringify(answer));
    this.store.add("dropAnswers", kept);
  }

  /** @param {string} key @param {SavedCron} timer */
  cron(key, timer) {
    this.#putCron(key, timer);
    this.store.flush();
  }

  /** @param {number} offset milliseconds */
  clock(offset) {
    this.store.add("putMeta", "clockOffset", offset);
    this.store.flush();
  }

  /** @param {Table} table */
  #putTable({ number, component, name }) {
    const known = this.#tables.get(number);
    if (known?.component === component && known.name === name) return;
    if (known !== undefined) this.store.add("dropTable", number);
    this.#tables.set(number, { component, name });
    this.store.add("putTable", number, component, name);
  }

  /** @param {Tables} tables @param {number} calls */
  #putCounters(tables, calls) {
    this.store.add("putMeta", "counters", JSON.stringify({ ...tables.counters, calls }));
  }

  /** @param {string} key @param {SavedCron} timer */
  #putCron(key, { cron, component, next }) {
    this.store.add("putCron", key, JSON.stringify({ cron, component }), next);
  }

  /** @param {Record<string, string>} variables */
  #putVariables(variables) {
    this.store.add("clearVariables");
    for (const [name, value] of Object.entries(variables)) this.store.add("putVariable", name, value);
  }
}
