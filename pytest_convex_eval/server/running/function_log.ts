/**
 * What functions did, for those who follow it (`npx convex logs`, `npx convex dev`): the last executions, each with
 * its log lines, and waiting for the next.
 */

import { canonical } from "./targets.ts";
import type { Frame } from "./frame.ts";

const KEPT_ENTRIES = 1000;
/** How often the lines of actions that still run are told. */
const PROGRESS_MILLISECONDS = 1000;
const LINE = /^\[(LOG|DEBUG|INFO|WARN|ERROR)\] /;
/** What is counted of executions here has no part of these. */
const NOT_COUNTED = {
  ...{
    databaseIoReadBytes: 0,
    databaseIoWriteBytes: 0,
    databaseWriteIndexRows: 0,
    storageReadBytes: 0,
    storageWriteBytes: 0,
  },
  ...{
    vectorIndexReadBytes: 0,
    vectorIndexWriteBytes: 0,
    textIndexQueryBytes: 0,
    textIndexWriteQueryBytes: 0,
  },
  ...{
    vectorIndexReadQueryBytes: 0,
    vectorIndexWriteQueryBytes: 0,
    networkEgressBytes: 0,
    memoryUsedMb: 0,
  },
};
const KINDS = { query: "Query", mutation: "Mutation", action: "Action" };

/** `status`: an HTTP action's */
export type Ending = { error: string } | { error: null; status?: number };
export type Kept = { cursor: number; entry: object };

export class FunctionLog {
  now: () => number;
  /** The oldest first. */
  #kept: Kept[] = [];
  /** Grows with each entry, also from one process to the next: milliseconds, and fractions where they are too few. */
  #cursor = Date.now();
  #waiting: Set<() => void> = new Set();
  /** What runs, and how many of its lines have been told. */
  #running: Map<Frame, { route: string | null; told: number }> = new Map();
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds, the deployment's */
  constructor(now: () => number) {
    this.now = now;
  }

  /** Forgets all; who follows goes on with what comes. */
  clear() {
    this.#kept.length = 0;
  }

  /**
   * An execution that has begun.
   * @param route `GET /path` of an HTTP action
   */
  begin(frame: Frame, route: string | null) {
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
   * @param route `GET /path` of an HTTP action
   * @param how `now`: milliseconds, the deployment's
   */
  add(
    frame: Frame,
    route: string | null,
    { now, seconds, ending }: { now: number; seconds: number; ending: Ending },
  ) {
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
      caller:
        frame.scheduledId !== null ? "Scheduler" : route !== null ? "HttpEndpoint" : "HttpApi",
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

  #keep(entry: object) {
    this.#cursor = Math.max(this.#cursor + 2 ** -10, Date.now());
    this.#kept.push({ cursor: this.#cursor, entry });
    if (this.#kept.length > KEPT_ENTRIES) this.#kept.shift();
    for (const wake of this.#waiting) wake();
  }

  /**
   * The entries after a cursor; 0: all that there are. Waits for one where there is none, but not at the start.
   * @param milliseconds the longest that it waits
   */
  async after(cursor: number, milliseconds: number) {
    const newer = () => this.#kept.filter((each) => each.cursor > cursor);
    if (cursor > 0 && newer().length === 0) await this.#next(milliseconds);
    return {
      entries: newer().map(({ entry }) => entry),
      newCursor: Math.max(this.#cursor, cursor),
    };
  }

  #next(milliseconds: number): Promise<void> {
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

/** What entries of both kinds tell. */
function describe(frame: Frame, route: string | null, now: number, lines: string[]) {
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

/**
 * @param line `[LEVEL] text`
 * @param timestamp milliseconds
 */
function structured(line: string, timestamp: number) {
  const found = LINE.exec(line);
  const text = found === null ? line : line.slice(found[0].length);
  return {
    messages: [text],
    level: found?.[1] ?? "LOG",
    timestamp: Math.floor(timestamp),
    isTruncated: false,
  };
}
