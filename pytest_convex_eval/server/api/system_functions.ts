/** The system functions that the CLI, the dashboard and tools call: only admins may. */

import { FunctionFailure } from "../running/failure.ts";
import { CODE } from "./system/code.ts";
import { DOCUMENTS } from "./system/documents.ts";
import { STATE } from "./system/state.ts";
import type { Json } from "../protocol.ts";
import type { Deployment } from "../deployment.ts";
import type { Transaction } from "../database/transaction.ts";
import type { FunctionResult } from "../running/functions.ts";

const PREFIX = "_system/";

export type Asked = {
  deployment: Deployment;
  transaction: Transaction;
  component: string;
  args: any;
};
/** By their paths below `_system/`; without `:default`. */
export type SystemFunctions = Record<string, (asked: Asked) => unknown>;

const FUNCTIONS = new Map(Object.entries({ ...DOCUMENTS, ...CODE, ...STATE }));

export function isSystemFunction(path: string) {
  return path.startsWith(PREFIX);
}

/**
 * @param call `component`: for functions that
 * are not told another
 * @throws FunctionFailure
 */
export async function runSystemFunction(
  deployment: Deployment,
  {
    path,
    args,
    component: usual,
    at,
  }: { path: string; args: Json; component: string; at: bigint | null },
): Promise<FunctionResult> {
  const name = path
    .slice(PREFIX.length)
    .replace(/\.js(?=:|$)/, "")
    .replace(/:default$/, "");
  const run = FUNCTIONS.get(name);
  if (run === undefined) throw new FunctionFailure(`Could not find public function for '${path}'.`);
  const given = (Array.isArray(args) ? (args[0] ?? {}) : args) as any;
  const component = typeof given.componentId === "string" ? given.componentId : usual;
  let reads = new Set<string>();
  const value = await deployment.services.functions.transaction(
    (transaction) => {
      reads = transaction.reads;
      try {
        return run({ deployment, transaction, component, args: given });
      } catch (error) {
        // Arguments are used as they came: what they break is the caller's fault.
        if (error instanceof TypeError)
          throw new FunctionFailure(`Invalid arguments for ${path}: ${error.message}`);
        throw error;
      }
    },
    { at },
  );
  return { value: (value ?? null) as Json, logLines: [], reads };
}
