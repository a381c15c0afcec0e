/** What goes into functions and what comes out of them: its form, its size, and its validators. */

import { parseValidator } from "../values/validators.ts";
import { mismatch } from "../values/validation.ts";
import { displaySize, parseValue, sizeOf, ValueError } from "../values/values.ts";
import { FunctionFailure } from "./failure.ts";
import { canonical } from "./targets.ts";
import type { AnalyzedFunction, Json, Validator } from "../protocol.ts";
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
   * @param given one object, or a list of it
   * @throws FunctionFailure
   */
  args(target: Target, given: Json): Json {
    const raw = Array.isArray(given) ? (given[0] ?? {}) : given;
    let args: ReturnType<typeof parseValue>;
    try {
      args = parseValue(raw);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new FunctionFailure(`Invalid arguments for ${canonical(target)}: ${error.message}`);
    }
    const limit = target.node ? MAX_NODE_ARGUMENT_BYTES : MAX_ARGUMENT_BYTES;
    const size = sizeOf(args);
    if (size > limit) {
      throw new FunctionFailure(
        `Arguments for ${canonical(target)} are too large (actual: ${displaySize(size)}, limit: ${displaySize(limit)})`,
      );
    }
    const tableOf = this.services.tables.namesFor(target.component);
    const why = mismatch(this.#validatorsOf(target).args, args, { tableOf });
    if (why !== null) throw new FunctionFailure(`ArgumentValidationError: ${why}`);
    return args;
  }

  /** @throws FunctionFailure */
  result(target: Target, returned: Json): Json {
    let value: ReturnType<typeof parseValue>;
    try {
      value = parseValue(returned);
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
