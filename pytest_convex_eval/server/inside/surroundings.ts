/**
 * What functions find around them while they run. One realm for all calls of a process; what belongs to a call (its
 * time, its random numbers, its variables, its console) is found through the asynchronous context.
 */

import { xorshift } from "./randomness.ts";
import { currentCall, running } from "./current.ts";
import { realNow } from "./time.ts";
import { given } from "./environment.ts";
import type { Call } from "./call.ts";
import type { Surroundings } from "./realm.ts";

/** Console lines of a call, the note of what is left out included. */
const MAX_LOG_LINES = 256;

/** Refuses what makes a transaction depend on more than the database. */
export function refusal(what: string) {
  return new Error(
    `Can't use ${what} in queries and mutations. Please consider using an action. See ` +
      "https://docs.convex.dev/functions/actions for more details.",
  );
}

/** @param log has a line of a call sent */
export function ofCalls(
  log: (call: Call, line: string) => void,
): Omit<Surroundings, "node" | "globals"> {
  const none: Map<string, number> = new Map();
  return {
    now: () => {
      const call = running();
      if (call === undefined) return realNow();
      return call.fixedNow ?? realNow() + call.clockOffset;
    },
    timeline: () => {
      const call = running();
      return { origin: call?.now ?? 0, entries: call?.entries ?? [] };
    },
    randomness: {
      next: () => {
        const call = running();
        if (call === undefined || call.isAction) return null;
        call.seed = xorshift(call.seed);
        return call.seed;
      },
      refuseKeys: () => {
        if (!currentCall().isAction) throw refusal("cryptographic randomness");
      },
      underWay: async (work) => {
        const call = running();
        if (call !== undefined) call.underWay += 1;
        try {
          return await work;
        } finally {
          if (call !== undefined) call.underWay -= 1;
        }
      },
    },
    variables: () => given(running()?.env ?? {}),
    lines: {
      write: (level, line) => {
        const call = running();
        if (call !== undefined) write(call, `[${level}] ${line}`, log);
      },
      timers: () => running()?.consoleTimers ?? none,
    },
  };
}

function write(call: Call, line: string, log: (call: Call, line: string) => void) {
  if (call.logLines >= MAX_LOG_LINES) return;
  call.logLines += 1;
  const isLast = call.logLines === MAX_LOG_LINES;
  const overflow = `[ERROR] Log overflow (maximum ${MAX_LOG_LINES}). Remaining log lines omitted.`;
  log(call, isLast ? overflow : line);
}
