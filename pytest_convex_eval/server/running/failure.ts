/** How a function fails, and what its caller is told. */

import { randomBytes } from "node:crypto";

import { UserError } from "../database/user_error.ts";
import { LimitExceeded } from "../isolates/isolate_process.ts";
import type { Json } from "../protocol.ts";

/** A function that did not return: `text` as the client is told, without the request's id. */
export class FunctionFailure extends Error {
  text: string;
  data: Json | undefined;
  logLines: string[];
  usage: import("./frame.ts").Usage | null;
  requestId: string;
  /** Whether the text ends in frames. */
  hasStack: boolean;
  /**
   * @param data a ConvexError's
   */
  constructor(text: string, data?: Json, { hasStack = false }: { hasStack?: boolean } = {}) {
    super(text);
    this.text = text;
    this.hasStack = hasStack;
    this.data = data;
    this.logLines = [];
    this.usage = null;
    /** By which a person finds it in the log. */
    this.requestId = randomBytes(8).toString("hex");
  }
}

export function asFailure(error: unknown): FunctionFailure {
  if (error instanceof FunctionFailure) return error;
  if (error instanceof UserError) return new FunctionFailure(error.message, error.data);
  if (!(error instanceof LimitExceeded)) throw error;
  const text = {
    timeout: `Function execution timed out (maximum duration: ${error.seconds}s)`,
    memory: "JavaScript execution ran out of memory (maximum memory usage: 64 MB)",
    crashed: "The process that ran the function ended.",
  }[error.reason];
  return new FunctionFailure(text);
}

/** As clients are told: a text without frames ends in a line break of its own. */
export function serverError({ requestId, text, hasStack }: FunctionFailure) {
  const end = hasStack || text.endsWith("\n") ? "" : "\n";
  return `[Request ID: ${requestId}] Server Error\n${text}${end}`;
}
