/**
 * One execution of a function inside of an isolate, and its syscalls.
 * @import { Json } from "../protocol.d.ts"
 * @import { Loader } from "./loader.mjs"
 */

import { decodeId } from "../values/ids.mjs";

/**
 * @typedef {object} CallRequest
 * @property {number} id
 * @property {"query" | "mutation" | "action" | "http"} kind
 * @property {number} definition the index of the app's or component's definition
 * @property {string} module
 * @property {string} name
 * @property {{ path: string, source: string }} [bundle] code of its own, of which `module` is the path
 * @property {string} args JSON: the list of arguments, or the HTTP request
 * @property {number} now milliseconds
 * @property {number} clockOffset milliseconds from real time to the deployment's
 * @property {string} snapshot JSON: the timestamp of the last commit that it sees
 * @property {boolean} isStill whether the deployment's time stands still
 * @property {number} seed
 * @property {Record<string, string>} env
 * @property {[string, number][]} tables names and numbers
 */

/** @typedef {{ op: string, args: string, resolve: (value: string) => void, reject: (error: unknown) => void }} Pending */

/** Syscalls after which buffered rows may be stale. */
const WRITES = new Set(
  ["insert", "shallowMerge", "replace", "remove", "schedule", "cancel_job", "storageDelete", "runUdf"].map((name) => `1.0/${name}`),
);

export class Call {
  ended = false;
  /** Until it is looked at whether it is stuck. @type {NodeJS.Timeout | undefined} */
  watch;
  /** Its instances of the modules. @type {Loader | null} */
  loader = null;
  logLines = 0;
  /** What it has put in place of globals, by their names. @type {Map<string, unknown>} */
  globals = new Map();
  /** @type {Map<number, Pending>} */
  pending = new Map();
  /** @type {Map<number, { query: Json, rows: Json[], taken: number, done: boolean, stale: boolean }>} */
  #streams = new Map();
  #streamIds = 0;
  #syscalls = 0;
  /** @type {Map<string, number>} */
  #tables;

  /** @param {CallRequest} request @param {(line: object, options?: { isHeld: boolean }) => void} say */
  constructor(request, say) {
    this.id = request.id;
    this.isAction = request.kind === "action" || request.kind === "http";
    /** What it takes for now; null: time goes on. */
    this.fixedNow = this.isAction && !request.isStill ? null : request.now;
    this.now = request.now;
    this.clockOffset = request.clockOffset;
    this.snapshot = request.snapshot;
    this.seed = request.seed;
    this.env = request.env;
    this.#tables = new Map(request.tables);
    this.say = say;
  }

  /** @param {string} op @param {string} json @returns {string} */
  syscall(op, json) {
    const args = JSON.parse(json);
    switch (op) {
      case "1.0/queryStream": {
        const queryId = this.#streamIds++;
        this.#streams.set(queryId, { query: args.query, rows: [], taken: 0, done: false, stale: false });
        return JSON.stringify({ queryId });
      }
      case "1.0/queryCleanup":
        this.#forget(args.queryId);
        return "true";
      case "1.0/db/normalizeId": {
        const decoded = decodeId(args.idString);
        const matches = decoded !== null && this.#tables.get(args.table) === decoded.table;
        return JSON.stringify({ id: matches ? args.idString : null });
      }
      case "1.0/componentArgument":
        return "{}";
      case "1.0/getSnapshotTs":
        return this.snapshot;
      default:
        throw new Error(`Unknown operation ${op}`);
    }
  }

  /** @param {string} op @param {string} json @returns {Promise<string>} */
  async asyncSyscall(op, json) {
    if (op === "1.0/queryStreamNext") return await this.#next(JSON.parse(json).queryId);
    if (WRITES.has(op)) for (const stream of this.#streams.values()) stream.stale = true;
    const value = await this.send(op, json);
    if (op === "1.0/insert") {
      const { table } = JSON.parse(json);
      const decoded = decodeId(JSON.parse(value)._id);
      if (decoded !== null) this.#tables.set(table, decoded.table);
    }
    return value;
  }

  /** @param {string} op @param {string} args JSON @returns {Promise<string>} */
  send(op, args) {
    if (this.ended) return Promise.reject(new Error("The function that this code belongs to has already returned."));
    const id = this.#syscalls++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { op, args, resolve, reject });
      this.say({ type: "syscall", call: this.id, id, op, args });
    });
  }

  /** The next row of a query: rows come in growing batches, and are fetched again after a write. @param {number} queryId */
  async #next(queryId) {
    const stream = this.#streams.get(queryId);
    if (stream === undefined) throw new Error(`Unknown query ${queryId}`);
    if (stream.stale || (stream.taken >= stream.rows.length && !stream.done)) {
      const { query, taken } = stream;
      stream.stale = false;
      const answer = await this.send("rows", JSON.stringify({ queryId, query, taken }));
      const { rows, done } = JSON.parse(answer);
      Object.assign(stream, { rows, done, taken: 0 });
    }
    const row = stream.rows[stream.taken];
    if (row === undefined) return '{"value":null,"done":true}';
    stream.taken += 1;
    return JSON.stringify({ value: row, done: false });
  }

  /** @param {number} queryId */
  #forget(queryId) {
    const stream = this.#streams.get(queryId);
    if (stream === undefined) return;
    this.#streams.delete(queryId);
    this.say({ type: "forget", call: this.id, queryId, taken: stream.taken }, { isHeld: true });
  }

  /** @param {number} id @param {{ value: string } | { error: { message: string, data?: Json } }} reply */
  replied(id, reply) {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    if (pending === undefined) return;
    if ("value" in reply) pending.resolve(reply.value);
    // An error, as code that asks without the client library (published components do) lets it through.
    else pending.reject(Object.assign(new Error(reply.error.message), "data" in reply.error && { data: reply.error.data }));
  }
}
