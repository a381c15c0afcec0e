/**
 * How a function fails, and what its caller is told.
 * @import { Json } from "../protocol.d.ts"
 */

import { randomBytes } from "node:crypto";

import { UserError } from "../database/user_error.mjs";
import { LimitExceeded } from "../isolates/isolate_process.mjs";

/** A function that did not return: `text` as the client is told, without the request's id. */
export class FunctionFailure extends Error {
  /** @param {string} text @param {Json} [data] a ConvexError's */
  constructor(text, data) {
    super(text);
    this.text = text;
    this.data = data;
    /** @type {string[]} */
    this.logLines = [];
    /** @type {import("./frame.mjs").Usage | null} */
    this.usage = null;
    /** By which a person finds it in the log. */
    this.requestId = randomBytes(8).toString("hex");
  }
}

/** @param {unknown} error @returns {FunctionFailure} */
export function asFailure(error) {
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

/** As clients are told. @param {FunctionFailure} failure */
export function serverError(failure) {
  return `[Request ID: ${failure.requestId}] Server Error\n${failure.text}`;
}
