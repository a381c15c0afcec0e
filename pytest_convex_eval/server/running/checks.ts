/** What goes into functions and what comes out of them: its form, its size, and its validators. */

import { parseValidator } from "../values/validators.ts";
import { isObject, mismatch } from "../values/validation.ts";
import { display, displaySize, parseValue, sizeOf, ValueError } from "../values/values.ts";
import { FunctionFailure } from "./failure.ts";
import { canonical } from "./targets.ts";
import type { AnalyzedFunction, Json, Validator } from "../protocol.ts";
import type { Accepted } from "../values/values.ts";
import type { Services } from "./services.ts";
import type { Target } from "./targets.ts";

const MAX_ARGUMENT_BYTES = 16 * 1024 * 1024;
const MAX_NODE_ARGUMENT_BYTES = 5 * 1024 * 1024;
const MAX_RESULT_BYTES = 16 * 1024 * 1024;

export class Checks {
  services: Services;
  #validators: WeakMap<AnalyzedFunction, { args: Validator; returns: Validator | null }> =
    new WeakMap();

  constructor(services: Services) {
    this.services = services;
  }

  /**
   * @param given one argument, or the list of them
   * @returns the list
   * @throws FunctionFailure
   */
  args(target: Target, given: Json, accepted: Accepted = {}): Json[] {
    let args: Json[];
    try {
      args = (Array.isArray(given) ? given : [given]).map((each) => parseValue(each, accepted));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new FunctionFailure(`Invalid arguments for ${canonical(target)}: ${error.message}`);
    }
    const limit = target.node ? MAX_NODE_ARGUMENT_BYTES : MAX_ARGUMENT_BYTES;
    const size = args.reduce((sum: number, each) => sum + sizeOf(each), 0);
    if (size > limit) {
      throw new FunctionFailure(
        `Arguments for ${canonical(target)} are too large (actual: ${displaySize(size)}, limit: ${displaySize(limit)})`,
      );
    }
    const { args: validator } = this.#validatorsOf(target);
    const why = validator.type === "any" ? null : this.#mismatch(target, validator, args);
    if (why !== null) throw new FunctionFailure(`ArgumentValidationError: ${why}`);
    return args;
  }

  #mismatch(target: Target, validator: Validator, args: Json[]) {
    const [only] = args;
    if (only === undefined || args.length > 1)
      return `Expected to receive a single object as the function's argument. Instead received ${args.length} arguments: ${display(args)}`;
    if (!isObject(only))
      return `Expected to receive an object as the function's argument. Instead received: ${display(only)}`;
    return mismatch(validator, only, { tableOf: this.services.tables.namesFor(target.component) });
  }

  /** @throws FunctionFailure */
  result(target: Target, returned: Json, accepted: Accepted = {}): Json {
    let value: Json;
    try {
      value = parseValue(returned, accepted);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new FunctionFailure(
        `Function ${canonical(target)} return value invalid: ${error.message}`,
      );
    }
    const size = sizeOf(value);
    if (size > MAX_RESULT_BYTES) {
      throw new FunctionFailure(
        `Function ${canonical(target)} return value is too large (actual: ${displaySize(size)}, limit: ${displaySize(MAX_RESULT_BYTES)})`,
      );
    }
    const { returns } = this.#validatorsOf(target);
    const tableOf = this.services.tables.namesFor(target.component);
    const why = returns === null ? null : mismatch(returns, value, { tableOf });
    if (why !== null) throw new FunctionFailure(`ReturnsValidationError: ${why}`);
    return value;
  }

  #validatorsOf({ analyzed }: Target) {
    const known = this.#validators.get(analyzed);
    if (known !== undefined) return known;
    const parsed = {
      args:
        analyzed.args === null
          ? ({ type: "any" } as Validator)
          : parseValidator(JSON.parse(analyzed.args)),
      returns: analyzed.returns === null ? null : parseValidator(JSON.parse(analyzed.returns)),
    };
    this.#validators.set(analyzed, parsed);
    return parsed;
  }
}
