/**
 * One function on the stack of a request, as the server sees it.
 * @import { Caller } from "./identity.mjs"
 * @import { Target } from "./targets.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { OpenStream } from "./syscalls.mjs"
 */

export class Frame {
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

  /**
   * @param {Caller} caller @param {string} component @param {string | null} scheduledId
   * @param {Frame | null} [parent]
   */
  constructor(caller, component, scheduledId, parent = null) {
    this.caller = caller;
    this.component = component;
    this.scheduledId = scheduledId;
    if (parent !== null) this.depth = parent.depth + 1;
  }

  /** @param {Target} target */
  enter(target) {
    this.target = target;
  }

  /** For a second attempt. */
  restart() {
    this.logLines.length = 0;
    this.streams.clear();
    this.hasPaginated = false;
    this.turn = Promise.resolve();
  }
}
