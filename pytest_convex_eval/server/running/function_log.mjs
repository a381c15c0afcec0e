/**
 * What functions did, for those who follow it (`npx convex logs`, `npx convex dev`): the last executions, each with
 * its log lines, and waiting for the next.
 * @import { Frame } from "./frame.mjs"
 */

import { canonical } from "./targets.mjs";

const KEPT_ENTRIES = 1000;
/** How often the lines of actions that still run are told. */
const PROGRESS_MILLISECONDS = 1000;
const LINE = /^\[(LOG|DEBUG|INFO|WARN|ERROR)\] /;
/** What is counted of executions here has no part of these. */
const NOT_COUNTED = {
  ...{ databaseIoReadBytes: 0, databaseIoWriteBytes: 0, databaseWriteIndexRows: 0, storageReadBytes: 0, storageWriteBytes: 0 },
  ...{ vectorIndexReadBytes: 0, vectorIndexWriteBytes: 0, textIndexQueryBytes: 0, textIndexWriteQueryBytes: 0 },
  ...{ vectorIndexReadQueryBytes: 0, vectorIndexWriteQueryBytes: 0, networkEgressBytes: 0, memoryUsedMb: 0 },
};
const KINDS = { query: "Query", mutation: "Mutation", action: "Action" };

/** @typedef {{ error: string } | { error: null, status?: number }} Ending `status`: an HTTP action's */
/** @typedef {{ cursor: number, entry: object }} Kept */

export class FunctionLog {
  /** The oldest first. @type {Kept[]} */
  #kept = [];
  /** Grows with each entry, also from one process to the next: milliseconds, and fractions where they are too few. */
  #cursor = Date.now();
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** What runs, and how many of its lines have been told. @type {Map<Frame, { route: string | null, told: number }>} */
  #running = new Map();
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /** @param {() => number} now milliseconds, the deployment's */
  constructor(now) {
    this.now = now;
  }

  /** Forgets all; who follows goes on with what comes. */
  clear() {
    this.#kept.length = 0;
  }

  /** An execution that has begun. @param {Frame} frame @param {string | null} route `GET /path` of an HTTP action */
  begin(frame, route) {
    this.#running.set(frame, { route, told: 0 });
    this.#timer ??= setInterval(() => this.#tellProgress(), PROGRESS_MILLISECONDS).unref();
  }

  #tellProgress() {
    if (this.#running.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    for (const [frame, running] of this.#running) {
      const { route, told } = running;
      const isAction = route !== null || frame.target?.kind === "action";
      if (!isAction || frame.logLines.length === told) continue;
      running.told = frame.logLines.length;
      const logLines = frame.logLines.slice(told);
      this.#keep({ kind: "Progress", ...describe(frame, route, this.now(), logLines) });
    }
  }

  /**
   * An execution that ended.
   * @param {Frame} frame @param {string | null} route `GET /path` of an HTTP action
   * @param {{ now: number, seconds: number, ending: Ending }} how `now`: milliseconds, the deployment's
   */
  add(frame, route, { now, seconds, ending }) {
    const { target, caller, usage } = frame;
    const told = this.#running.get(frame)?.told ?? 0;
    this.#running.delete(frame);
    if (target === null && route === null) return; // No such function: there was no execution.
    const status = "status" in ending ? { status: String(ending.status) } : null;
    const entry = {
      kind: "Completion",
      ...describe(frame, route, now, frame.logLines.slice(told)),
      executionTimestamp: now / 1000,
      executionTime: seconds,
      userExecutionTime: null,
      success: status,
      error: ending.error,
      parentExecutionId: null,
      caller: frame.scheduledId !== null ? "Scheduler" : route !== null ? "HttpEndpoint" : "HttpApi",
      identityType: caller.user !== null ? "user" : caller.admin ? "instance_admin" : "unknown",
      environment: target?.node ? "node" : "isolate",
      usageStats: {
        databaseReadBytes: usage.bytesRead,
        databaseReadDocuments: usage.documentsRead,
        databaseWriteBytes: usage.bytesWritten,
        databaseWriteDocuments: usage.documentsWritten,
        ...NOT_COUNTED,
      },
      ...{ cachedResult: false, willRetry: false, occInfo: null, returnBytes: null },
    };
    this.#keep(entry);
  }

  /** @param {object} entry */
  #keep(entry) {
    this.#cursor = Math.max(this.#cursor + 2 ** -10, Date.now());
    this.#kept.push({ cursor: this.#cursor, entry });
    if (this.#kept.length > KEPT_ENTRIES) this.#kept.shift();
    for (const wake of this.#waiting) wake();
  }

  /**
   * The entries after a cursor; 0: all that there are. Waits for one where there is none, but not at the start.
   * @param {number} cursor @param {number} milliseconds the longest that it waits
   */
  async after(cursor, milliseconds) {
    const newer = () => this.#kept.filter((each) => each.cursor > cursor);
    if (cursor > 0 && newer().length === 0) await this.#next(milliseconds);
    return { entries: newer().map(({ entry }) => entry), newCursor: Math.max(this.#cursor, cursor) };
  }

  /** @param {number} milliseconds @returns {Promise<void>} */
  #next(milliseconds) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      timer.unref();
      this.#waiting.add(done);
    });
  }
}

/** What entries of both kinds tell. @param {Frame} frame @param {string | null} route @param {number} now @param {string[]} lines */
function describe(frame, route, now, lines) {
  const { target, component, requestId } = frame;
  return {
    udfType: target === null ? "HttpAction" : KINDS[target.kind],
    componentPath: component === "" ? null : component,
    identifier: target === null ? route : canonical(target),
    logLines: lines.map((line) => structured(line, now)),
    timestamp: now / 1000,
    ...{ requestId, executionId: requestId },
  };
}

/** @param {string} line `[LEVEL] text` @param {number} timestamp milliseconds */
function structured(line, timestamp) {
  const found = LINE.exec(line);
  const text = found === null ? line : line.slice(found[0].length);
  return { messages: [text], level: found?.[1] ?? "LOG", timestamp: Math.floor(timestamp), isTruncated: false };
}
