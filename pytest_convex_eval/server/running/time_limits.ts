/** How long functions may run. */

import { BadRequest } from "../errors.ts";
import { object } from "../push/push_request.ts";
import type { Json } from "../protocol.ts";
import type { TimeLimit } from "../isolates/isolate_process.ts";

/** The backend's; `operation`: of a client on the sync protocol, all but actions. */
export const TIME_LIMITS: Readonly<
  Record<"transaction" | "action" | "nodeAction" | "operation", TimeLimit>
> = {
  // The wall clock binds for code that neither computes nor asks for anything.
  transaction: { cpu: 1, wall: 15 },
  action: { cpu: Infinity, wall: 1800 },
  nodeAction: { cpu: Infinity, wall: 600 },
  operation: { cpu: Infinity, wall: 60 },
};

/** The backend's limits with those of a request in their place: `{"action": {"wall": 5}}`. @throws BadRequest */
export function parseTimeLimits(json: Json): typeof TIME_LIMITS {
  const given = object(json, "the body");
  const unknown = Object.keys(given).find((name) => !(name in TIME_LIMITS));
  if (unknown !== undefined) throw new BadRequest(`there is no limit ${JSON.stringify(unknown)}`);
  const limit = (name: keyof typeof TIME_LIMITS) => {
    const usual = TIME_LIMITS[name];
    const { cpu = usual.cpu, wall = usual.wall } = object(given[name] ?? {}, name);
    if (!isSeconds(cpu) || !isSeconds(wall))
      throw new BadRequest(`${name} must have seconds: cpu, wall`);
    return { cpu, wall };
  };
  return {
    transaction: limit("transaction"),
    action: limit("action"),
    nodeAction: limit("nodeAction"),
    operation: limit("operation"),
  };
}

function isSeconds(value: unknown): value is number {
  return typeof value === "number" && value > 0;
}
