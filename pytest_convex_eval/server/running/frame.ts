/** One function on the stack of a request, as the server sees it. */

import { randomUUID } from "node:crypto";
import type { Caller } from "./identity.ts";
import type { Target } from "./targets.ts";
import type { Transaction } from "../database/transaction.ts";
import type { OpenStream } from "./syscalls.ts";

/** What a request used, with all that it called: of the transactions that ended and of the calls. */
export type Usage = {
  documentsRead: number;
  bytesRead: number;
  databaseQueries: number;
  documentsWritten: number;
  bytesWritten: number;
  functions: number;
};

const nothingUsed = (): Usage => ({
  documentsRead: 0,
  bytesRead: 0,
  databaseQueries: 0,
  documentsWritten: 0,
  bytesWritten: 0,
  functions: 0,
});

/** Has rows that were sent and not taken read again, if ever. @returns whether there are any */
export function takeBack({ stream, places }: OpenStream, taken: number): boolean {
  const place = places[taken];
  if (place === undefined || taken === places.length - 1) return false;
  stream.backTo(place);
  return true;
}

export class Frame {
  caller: Caller;
  component: string;
  scheduledId: string | null;
  /** Shared by all that serve one request. */
  requestId: string;
  /** Null in actions. */
  transaction: Transaction | null = null;
  target: Target | null = null;
  logLines: string[] = [];
  streams: Map<number, OpenStream> = new Map();
  hasPaginated = false;
  /** How many functions called each other to get here. */
  depth: number = 0;
  /** The end of what its syscalls wait for: those of a transaction run one after another. */
  turn: Promise<unknown> = Promise.resolve();
  /** Shared by all that serve one request. */
  usage: Usage = nothingUsed();

  constructor(
    caller: Caller,
    component: string,
    scheduledId: string | null,
    parent: Frame | null = null,
  ) {
    this.caller = caller;
    this.component = component;
    this.scheduledId = scheduledId ?? parent?.scheduledId ?? null;
    // The random half of a UUID: Node keeps the bytes of many, and those alone would be a system call each.
    this.requestId = parent?.requestId ?? randomUUID().slice(19).replace("-", "");
    if (parent !== null) this.depth = parent.depth + 1;
    if (parent !== null) this.usage = parent.usage;
  }

  /** Counts what a transaction of this frame's used; once for each. */
  count({ used, functions }: Transaction) {
    for (const metric of [
      "documentsRead",
      "bytesRead",
      "databaseQueries",
      "documentsWritten",
      "bytesWritten",
    ] as const) {
      this.usage[metric] += used[metric];
    }
    this.usage.functions += functions;
  }

  /** @param transaction its caller's, which counts it with all else that is done in it */
  enter(target: Target, transaction: Transaction | null = null) {
    this.target = target;
    if (transaction === null) this.usage.functions += 1;
    else transaction.functions += 1;
  }

  /** A query is not read any more: of the rows that were sent last, `taken` were. */
  forget(queryId: number, taken: number) {
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
