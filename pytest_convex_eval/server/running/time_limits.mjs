/**
 * How long functions may run.
 * @import { Json } from "../protocol.d.ts"
 * @import { TimeLimit } from "../isolates/isolate_process.mjs"
 */

import { BadRequest } from "../errors.mjs";
import { object } from "../push/push_request.mjs";

/**
 * The backend's; `operation`: of a client on the sync protocol, all but actions.
 * @type {Readonly<Record<"transaction" | "action" | "nodeAction" | "operation", TimeLimit>>}
 */
export const TIME_LIMITS = {
  // The wall clock binds for code that neither computes nor asks for anything.
  transaction: { cpu: 1, wall: 15 },
  action: { cpu: Infinity, wall: 1800 },
  nodeAction: { cpu: Infinity, wall: 600 },
  operation: { cpu: Infinity, wall: 60 },
};

/**
 * The backend's limits with those of a request in their place: `{"action": {"wall": 5}}`.
 * @param {Json} json
 * @returns {typeof TIME_LIMITS}
 * @throws {BadRequest}
 */
export function parseTimeLimits(json) {
  const given = object(json, "the body");
  const unknown = Object.keys(given).find((name) => !(name in TIME_LIMITS));
  if (unknown !== undefined) throw new BadRequest(`there is no limit ${JSON.stringify(unknown)}`);
  const limit = (/** @type {keyof typeof TIME_LIMITS} */ name) => {
    const usual = TIME_LIMITS[name];
    const { cpu = usual.cpu, wall = usual.wall } = object(given[name] ?? {}, name);
    if (!isSeconds(cpu) || !isSeconds(wall)) throw new BadRequest(`${name} must have seconds: cpu, wall`);
    return { cpu, wall };
  };
  return {
    transaction: limit("transaction"),
    action: limit("action"),
    nodeAction: limit("nodeAction"),
    operation: limit("operation"),
  };
}

/** @param {unknown} value @returns {value is number} */
function isSeconds(value) {
  return typeof value === "number" && value > 0;
}
