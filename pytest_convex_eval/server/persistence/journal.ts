/**
 * Everything of a deployment that outlives its process, told to the store as it happens and read back at a start.
 * What belongs to one commit is handed over together.
 */

import v8 from "node:v8";
import type { Cron, Push } from "../protocol.ts";
import type { Document } from "../database/sorted_index.ts";
import type { Counters, Table, Tables } from "../database/tables.ts";
import type { Transaction } from "../database/transaction.ts";
import type { Store } from "./store.ts";

export type SavedJob = { component: string; path: string; owner: string };
export type SavedFile = { uuid: string; id: string; component: string };
export type SavedCron = { cron: Cron; component: string; next: number | null };
/** What gives an instance its admin key. */
export type SavedInstance = { name: string; secret: string };

export interface Saved {
  push: Push | null;
  variables: Record<string, string>;
  counters: Counters;
  /** How many queries and mutations were run. */
  calls: number;
  /** Milliseconds. */
  clockOffset: number;
  tables: { number: number; component: string; name: string; documents: Document[] }[];
  files: SavedFile[];
  /** By the id of their row. */
  jobs: [string, SavedJob][];
  crons: [string, SavedCron][];
}

export type State = {
  push: Push | null;
  tables: Tables;
  crons: Iterable<[string, SavedCron]>;
  variables: Record<string, string>;
  calls: number;
  clockOffset: number;
};

export class Journal {
  store: Store;
  /** Those that the store has. */
  #tables: Map<number, { component: string; name: string }> = new Map();

  constructor(store: Store) {
    this.store = store;
  }

  durable(): Promise<void> {
    return this.store.durable();
  }

  // ---- Reading back -----------------------------------------------------------------------------

  /** The instance that the data is of; null when there is none yet. */
  instance(): SavedInstance | null {
    const json = this.#meta("instance");
    return typeof json === "string" ? JSON.parse(json) : null;
  }

  /** The oldest first. */
  answers(): [string, any][] {
    const rows = this.store.database.prepare("SELECT key, json FROM answers ORDER BY rowid").all();
    return rows.map(({ key, json }) => [String(key), JSON.parse(String(json))]);
  }

  /** @returns null when nothing was saved yet */
  saved(): Saved | null {
    const counters = this.#meta("counters");
    if (typeof counters !== "string") return null;
    const push = this.#meta("push");
    const { calls, ...rest } = JSON.parse(counters);
    const rows = (sql: string) => this.store.database.prepare(sql).all() as any[];
    const documents: Map<number, Document[]> = new Map();
    const tables = rows("SELECT number, component, name FROM tables ORDER BY number").map(
      (table) => {
        const own = [] as Document[];
        documents.set(table.number, own);
        this.#tables.set(table.number, { component: table.component, name: table.name });
        return {
          number: table.number,
          component: table.component,
          name: table.name,
          documents: own,
        };
      },
    );
    for (const row of this.store.database
      .prepare("SELECT table_number, json FROM documents ORDER BY rowid")
      .iterate()) {
      documents.get(Number(row["table_number"]))?.push(JSON.parse(String(row["json"])));
    }
    return {
      push: push instanceof Uint8Array ? v8.deserialize(push) : null,
      variables: Object.fromEntries(
        rows("SELECT name, value FROM variables").map(({ name, value }) => [name, value]),
      ),
      counters: rest,
      calls,
      clockOffset: Number(this.#meta("clockOffset") ?? 0),
      tables,
      files: rows("SELECT uuid, id, component FROM files").map((row) => ({ ...row })),
      jobs: rows("SELECT id, component, path, owner FROM jobs ORDER BY rowid").map(
        ({ id, ...job }) => [id, job],
      ),
      crons: rows("SELECT key, cron, next FROM crons").map(({ key, cron, next }) => [
        key,
        { ...JSON.parse(cron), next },
      ]),
    };
  }

  #meta(key: string) {
    return this.store.database.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.["value"];
  }

  // ---- Writing ----------------------------------------------------------------------------------

  useInstance(instance: SavedInstance) {
    this.store.add("putMeta", "instance", JSON.stringify(instance));
    this.store.flush();
  }

  /** A transaction's documents, with what was told during its commit. */
  commit(transaction: Transaction, calls: number) {
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

  /** What is live now; tables that are gone take their documents and files with them. */
  live({ push, tables, crons, variables, calls, clockOffset }: State) {
    this.store.add("putMeta", "push", push === null ? "" : v8.serialize(push));
    this.tables(tables);
    this.store.add("clearCrons");
    for (const [key, timer] of crons) this.#putCron(key, timer);
    this.#putVariables(variables);
    this.store.add("putMeta", "clockOffset", clockOffset);
    this.#putCounters(tables, calls);
    this.store.flush();
  }

  /** Which tables there are; handed over with what comes next. */
  tables(tables: Tables) {
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
    for (const name of ["clearDocuments", "clearTables", "clearFiles", "clearJobs"] as const)
      this.store.add(name);
    this.#tables.clear();
  }

  variables(variables: Record<string, string>) {
    this.#putVariables(variables);
    this.store.flush();
  }

  /** A job will run. In the commit that schedules it. */
  job(id: string, { component, path, owner }: SavedJob) {
    this.store.add("putJob", id, component, path, owner);
  }

  /** A job will never run again. In the commit that ends it. */
  jobOver(id: string) {
    this.store.add("dropJob", id);
  }

  /** In the commit of its row. */
  file({ uuid, id, component }: SavedFile, bytes: Buffer) {
    this.store.add("putFile", uuid, id, component, bytes);
  }

  /** In the commit of its row. */
  fileOver(uuid: string) {
    this.store.add("dropFile", uuid);
  }

  /** What a client was answered, of which the newest are kept. In the commit that it tells of. */
  answer(key: string, answer: object, kept: number) {
    this.store.add("putAnswer", key, JSON.stringify(answer));
    this.store.add("dropAnswers", kept);
  }

  cron(key: string, timer: SavedCron) {
    this.#putCron(key, timer);
    this.store.flush();
  }

  /** @param offset milliseconds */
  clock(offset: number) {
    this.store.add("putMeta", "clockOffset", offset);
    this.store.flush();
  }

  #putTable({ number, component, name }: Table) {
    const known = this.#tables.get(number);
    if (known?.component === component && known.name === name) return;
    if (known !== undefined) this.store.add("dropTable", number);
    this.#tables.set(number, { component, name });
    this.store.add("putTable", number, component, name);
  }

  #putCounters(tables: Tables, calls: number) {
    this.store.add("putMeta", "counters", JSON.stringify({ ...tables.counters, calls }));
  }

  #putCron(key: string, { cron, component, next }: SavedCron) {
    this.store.add("putCron", key, JSON.stringify({ cron, component }), next);
  }

  #putVariables(variables: Record<string, string>) {
    this.store.add("clearVariables");
    for (const [name, value] of Object.entries(variables))
      this.store.add("putVariable", name, value);
  }
}
