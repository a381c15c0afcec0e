/**
 * The system functions that the CLI, the dashboard and tools call: only admins may.
 * @import { Json } from "../protocol.d.ts"
 * @import { Deployment } from "../deployment.mjs"
 * @import { Transaction } from "../database/transaction.mjs"
 * @import { FunctionResult } from "../running/functions.mjs"
 */

import { FunctionFailure } from "../running/failure.mjs";
import { CODE } from "./system/code.mjs";
import { DOCUMENTS } from "./system/documents.mjs";
import { STATE } from "./system/state.mjs";

const PREFIX = "_system/";

/** @typedef {{ deployment: Deployment, transaction: Transaction, component: string, args: any }} Asked */
/** By their paths below `_system/`; without `:default`. @typedef {Record<string, (asked: Asked) => unknown>} SystemFunctions */

const FUNCTIONS = new Map(Object.entries({ ...DOCUMENTS, ...CODE, ...STATE }));

/** @param {string} path */
export function isSystemFunction(path) {
  return path.startsWith(PREFIX);
}

/**
 * @param {Deployment} deployment
 * @param {{ path: string, args: Json, component: string, at: bigint | null }} call `component`: for functions that
 *   are not told another
 * @returns {Promise<FunctionResult>}
 * @throws {FunctionFailure}
 */
export async function runSystemFunction(deployment, { path, args, component: usual, at }) {
  const name = path.slice(PREFIX.length).replace(/\.js(?=:|$)/, "").replace(/:default$/, "");
  const run = FUNCTIONS.get(name);
  if (run === undefined) throw new FunctionFailure(`Could not find public function for '${path}'.`);
  const given = /** @type {any} */ (Array.isArray(args) ? (args[0] ?? {}) : args);
  const component = typeof given.componentId === "string" ? given.componentId : usual;
  let reads = new Set();
  const value = await deployment.services.functions.transaction((transaction) => {
    reads = transaction.reads;
    try {
      return run({ deployment, transaction, component, args: given });
    } catch (error) {
      // Arguments are used as they came: what they break is the caller's fault.
      if (error instanceof TypeError) throw new FunctionFailure(`Invalid arguments for ${path}: ${error.message}`);
      throw error;
    }
  }, { at });
  return { value: /** @type {Json} */ (value ?? null), logLines: [], reads };
}
