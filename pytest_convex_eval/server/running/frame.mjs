/**
 * One function on the stack of a request, as the server sees it.
 * @import { Caller } from "./identity.mjs"
 * @import { Target } from "./targets.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { OpenStream } from "./syscalls.mjs"
 */

import { randomUUID } from "node:crypto";

/**
 * What a request used, with all that it called: of the transactions that ended and of the calls.
 * @typedef {{ documentsRead: number, bytesRead: number, databaseQueries: number, documentsWritten: number, bytesWritten: number, functions: number }} Usage
 */

/** @returns {Usage} */
const nothingUsed = () => ({ documentsRead: 0, bytesRead: 0, databaseQueries: 0, documentsWritten: 0, bytesWritten: 0, functions: 0 });

/** Has rows that were sent and not taken read again, if ever. @param {OpenStream} open @param {number} taken @returns {boolean} whether there are any */
export function takeBack({ stream, places }, taken) {
  const place = places[taken];
  if (place === undefined || taken === places.length - 1) return false;
  stream.backTo(place);
  return true;
}

export class Frame {
  /** Shared by all that serve one request. @type {string} */
  requestId;
  /** Null in actions. @type {Transaction | null} */
  transaction = null;
  /** @type {Target | null} */
  target = null;
  /** @type {string[]} */
  logLines = [];
  /** @type {Map<number, OpenStream>} */
  streams = new Map();
  hasPaginated = false;
  /** How many functions called each other to get here. @type {number} */
  depth = 0;
  /** The end of what its syscalls wait for: those of a transaction run one after another. @type {Promise<unknown>} */
  turn = Promise.resolve();
  /** Shared by all that serve one request. @type {Usage} */
  usage = nothingUsed();

  /**
   * @param {Caller} caller @param {string} component @param {string | null} scheduledId
   * @param {Frame | null} [parent]
   */
  constructor(caller, component, scheduledId, parent = null) {
    this.caller = caller;
    this.component = component;
    this.scheduledId = scheduledId ?? parent?.scheduledId ?? null;
    // The random half of a UUID: Node keeps the bytes of many, and those alone would be a system call each.
    this.requestId = parent?.requestId ?? randomUUID().slice(19).replace("-", "");
    if (parent !== null) this.depth = parent.depth + 1;
    if (parent !== null) this.usage = parent.usage;
  }

  /** Counts what a transaction of this frame's used; once for each. @param {Transaction} transaction */
  count({ used, functions }) {
    for (const metric of /** @type {const} */ (["documentsRead", "bytesRead", "databaseQueries", "documentsWritten", "bytesWritten"])) {
      this.usage[metric] += used[metric];
    }
    this.usage.functions += functions;
  }

  /** @param {Target} target @param {Transaction | null} [transaction] its caller's, which counts it with all else that is done in it */
  enter(target, transaction = null) {
    this.target = target;
    if (transaction === null) this.usage.functions += 1;
    else transaction.functions += 1;
  }

  /** A query is not read any more: of the rows that were sent last, `taken` were. @param {number} queryId @param {number} taken */
  forget(queryId, taken) {
    const open = this.streams.get(queryId);
    if (open !== undefined) takeBack(open, taken);
    this.streams.delete(queryId);
  }

  /** For a second attempt. */
  restart() {
    this.logLines.length = 0;
    this.streams.clear();
    this.hasPaginated = false;
    this.turn = Promise.resolve();
  }
}
