/** One execution of a function inside of an isolate, and its syscalls. */

import { hasOwn, ownMap } from "./captured.ts";
import { decodeId } from "../values/ids.ts";
import type { Json } from "../protocol.ts";
import type { Loader } from "./loader.ts";

export interface CallRequest {
  id: number;
  kind: "query" | "mutation" | "action" | "http";
  /** The index of the app's or component's definition. */
  definition: number;
  module: string;
  name: string;
  /** Code of its own, of which `module` is the path. */
  bundle?: { path: string; source: string };
  /** JSON: the list of arguments, or the HTTP request. */
  args: string;
  /** Milliseconds. */
  now: number;
  /** Milliseconds from real time to the deployment's. */
  clockOffset: number;
  /** JSON: the timestamp of the last commit that it sees. */
  snapshot: string;
  /** Whether the deployment's time stands still. */
  isStill: boolean;
  seed: number;
  env: Record<string, string>;
  /** Names and numbers. */
  tables: [string, number][];
}

export type Pending = {
  op: string;
  args: string;
  resolve: (value: string) => void;
  reject: (error: unknown) => void;
};

type ReplyError = { message: string; data?: Json };

/** Syscalls after which buffered rows may be stale. */
const WRITES = new Set(
  [
    "insert",
    "shallowMerge",
    "replace",
    "remove",
    "schedule",
    "cancel_job",
    "storageDelete",
    "storageStore",
    "runUdf",
  ].map((name) => `1.0/${name}`),
);

export class Call {
  id: number;
  isAction: boolean;
  fixedNow: number | null;
  now: number;
  clockOffset: number;
  snapshot: string;
  seed: number;
  env: Record<string, string>;
  say: (line: object, isHeld?: boolean) => void;
  ended = false;
  /** Until it is looked at whether it is stuck. */
  watch: NodeJS.Timeout | undefined;
  /** Its instances of the modules. */
  loader: Loader | null = null;
  logLines = 0;
  /** What it has put in place of globals, by their names. */
  globals: Map<string, unknown> = new Map();
  pending: Map<number, Pending> = ownMap();
  /** What can still resolve a promise beside syscalls: timers, and operations on keys. */
  underWay = 0;
  /** Of `console`: when each was started. */
  consoleTimers: Map<string, number> = new Map();
  /** Of `performance`. */
  entries: object[] = [];
  /** What to do when all that is under way has been answered. */
  settled: (() => void) | null = null;
  #streams: Map<
    number,
    { query: Json; rows: Json[]; taken: number; done: boolean; stale: boolean }
  > = ownMap();
  #streamIds = 0;
  #syscalls = 0;
  #tables: Map<string, number>;

  constructor(request: CallRequest, say: (line: object, isHeld?: boolean) => void) {
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

  syscall(op: string, json: string): string {
    const args = JSON.parse(json);
    switch (op) {
      case "1.0/queryStream": {
        const queryId = this.#streamIds++;
        this.#streams.set(queryId, {
          query: args.query,
          rows: [],
          taken: 0,
          done: false,
          stale: false,
        });
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
        // Asked of the server too, which keeps what it does not know.
        this.send(op, json).catch(() => {});
        throw new Error(`Unknown operation ${op}`);
    }
  }

  async asyncSyscall(op: string, json: string): Promise<string> {
    if (op === "1.0/queryStreamNext") return await this.#next(JSON.parse(json).queryId);
    if (WRITES.has(op)) {
      this.#streams.forEach((stream) => {
        stream.stale = true;
      });
    }
    const value = await this.send(op, json);
    if (op === "1.0/insert") {
      const { table } = JSON.parse(json);
      const decoded = decodeId(JSON.parse(value)._id);
      if (decoded !== null) this.#tables.set(table, decoded.table);
    }
    return value;
  }

  /** @param args JSON */
  send(op: string, args: string): Promise<string> {
    if (this.ended)
      return Promise.reject(
        new Error("The function that this code belongs to has already returned."),
      );
    const id = this.#syscalls++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { op, args, resolve, reject });
      this.say({ type: "syscall", call: this.id, id, op, args });
    });
  }

  /** The next row of a query: rows come in growing batches, and are fetched again after a write. */
  async #next(queryId: number) {
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

  #forget(queryId: number) {
    const stream = this.#streams.get(queryId);
    if (stream === undefined) return;
    this.#streams.delete(queryId);
    this.say({ type: "forget", call: this.id, queryId, taken: stream.taken }, true);
  }

  replied(id: number, reply: { value: string } | { error: ReplyError }) {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    if (pending === undefined) return;
    // By own properties: pushed code can put others on what every object inherits from.
    if (hasOwn(reply, "value")) pending.resolve((reply as { value: string }).value);
    // An error, as code that asks without the client library (published components do) lets it through.
    else pending.reject(asError((reply as { error: ReplyError }).error));
    if (this.pending.size === 0) this.settled?.();
  }
}

function asError(error: ReplyError) {
  const made = new Error(error.message);
  return hasOwn(error, "data") ? Object.assign(made, { data: error.data }) : made;
}
