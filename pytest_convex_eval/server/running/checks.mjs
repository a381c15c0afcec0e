/**
 * What goes into functions and what comes out of them: its form, its size, and its validators.
 * @import { AnalyzedFunction, Json, Validator } from "../protocol.d.ts"
 * @import { Services } from "./services.mjs"
 * @import { Target } from "./targets.mjs"
 */

import { parseValidator } from "../values/validators.mjs";
import { mismatch } from "../values/validation.mjs";
import { displaySize, parseValue, sizeOf, ValueError } from "../values/values.mjs";
import { FunctionFailure } from "./failure.mjs";
import { canonical } from "./targets.mjs";

const MAX_ARGUMENT_BYTES = 16 * 1024 * 1024;
const MAX_NODE_ARGUMENT_BYTES = 5 * 1024 * 1024;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;

export class Checks {
  /** @type {WeakMap<AnalyzedFunction, { args: Validator, returns: Validator | null }>} */
  #validators = new WeakMap();

  /** @param {Services} services */
  constructor(services) {
    this.services = services;
  }

  /** @param {Target} target @param {Json} given one object, or a list of it @returns {Json} @throws {FunctionFailure} */
  args(target, given) {
    const raw = Array.isArray(given) ? (given[0] ?? {}) : given;
    let args;
    try {
      args = parseValue(raw);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new FunctionFailure(`Invalid arguments for ${canonical(target)}: ${error.message}`);
    }
    const limit = target.node ? MAX_NODE_ARGUMENT_BYTES : MAX_ARGUMENT_BYTES;
    const size = sizeOf(args);
    if (size > limit) {
      throw new FunctionFailure(`Arguments for ${canonical(target)} are too large (actual: ${displaySize(size)}, limit: ${displaySize(limit)})`);
    }
    const tableOf = this.services.tables.namesFor(target.component);
    const why = mismatch(this.#validatorsOf(target).args, args, { tableOf });
    if (why !== null) throw new FunctionFailure(`ArgumentValidationError: ${why}`);
    return args;
  }

  /** @param {Target} target @param {Json} returned @returns {Json} @throws {FunctionFailure} */
  result(target, returned) {
    let value;
    try {
      value = parseValue(returned);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new FunctionFailure(`Function ${canonical(target)} return value invalid: ${error.message}`);
    }
    const size = sizeOf(value);
    if (size > MAX_RESULT_BYTES) {
      throw new FunctionFailure(`Function ${canonical(target)} return value is too large (actual: ${displaySize(size)}, limit: ${displaySize(MAX_RESULT_BYTES)})`);
    }
    const { returns } = this.#validatorsOf(target);
    const tableOf = this.services.tables.namesFor(target.component);
    const why = returns === null ? null : mismatch(returns, value, { tableOf });
    if (why !== null) throw new FunctionFailure(`ReturnsValidationError: ${why}`);
    return value;
  }

  /** @param {Target} target */
  #validatorsOf({ analyzed }) {
    const known = this.#validators.get(analyzed);
    if (known !== undefined) return known;
    const parsed = {
      args: analyzed.args === null ? /** @type {Validator} */ ({ type: "any" }) : parseValidator(JSON.parse(analyzed.args)),
      returns: analyzed.returns === null ? null : parseValidator(JSON.parse(analyzed.returns)),
    };
    this.#validators.set(analyzed, parsed);
    return parsed;
  }
}
