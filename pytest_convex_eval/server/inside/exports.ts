/** What a loaded module exports, in data. */

import { functionText, keys, text as asText } from "./captured.ts";
import type {
  ExportedFunction,
  ExportedValidator,
  FunctionKind,
  ModuleExports,
  Route,
} from "../protocol.ts";

/** Longest handler text that is sent back to find its place by. */
const MAX_HANDLER_CHARACTERS = 200_000;

export function describeExports(path: string, namespace: object): ModuleExports {
  // By index, and without methods: pushed code can have replaced those of lists.
  const functions: ExportedFunction[] = [];
  const httpActions: string[] = [];
  const names = keys(namespace);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const value = (namespace as Record<string, any>)[name];
    if ((typeof value !== "object" && typeof value !== "function") || value === null) continue;
    if (value.isHttp) httpActions[httpActions.length] = name;
    const described = describeFunction(path, name, value);
    if (described !== null) functions[functions.length] = described;
  }
  const main = "default" in namespace ? namespace.default : undefined;
  return {
    path,
    functions,
    httpActions,
    router: path === "http.js" ? describeRouter(main) : null,
    crons: path === "crons.js" ? describeCrons(main) : null,
  };
}

/**
 * A registered function has exactly one of the three kinds and is not both public and internal;
 * all else is none of Convex's business.
 */
function describeFunction(path: string, name: string, value: any): ExportedFunction | null {
  const kinds: FunctionKind[] = [];
  if ("isQuery" in value) kinds[kinds.length] = "Query";
  if ("isMutation" in value) kinds[kinds.length] = "Mutation";
  if ("isAction" in value) kinds[kinds.length] = "Action";
  const kind = kinds[0];
  const isPublic = "isPublic" in value;
  const isInternal = "isInternal" in value;
  if (kind === undefined || kinds.length > 1 || (isPublic && isInternal)) return null;
  const handler = value._handler;
  const text = typeof handler === "function" ? functionText(handler) : null;
  return {
    name,
    kind,
    visibility: isPublic ? "public" : isInternal ? "internal" : null,
    args: validator(path, name, value, "exportArgs"),
    returns: validator(path, name, value, "exportReturns"),
    handlerIsFunction: !("_handler" in value) || typeof handler === "function",
    handlerText: text !== null && text.length <= MAX_HANDLER_CHARACTERS ? text : null,
  };
}

function validator(
  path: string,
  name: string,
  value: any,
  method: "exportArgs" | "exportReturns",
): ExportedValidator {
  const produce = value[method];
  if (produce === undefined) return { json: null };
  if (typeof produce !== "function") {
    return { problem: `${path}:${name}.${method} is not a function or \`undefined\`.` };
  }
  const json = produce.call(value);
  if (typeof json !== "string") {
    return { problem: `Invalid JSON returned from ${path}:${name}.${method}(): not a string` };
  }
  return { json: json === "null" ? null : json };
}

function describeRouter(router: any): ModuleExports["router"] {
  if (router === undefined || router === null) return "missing";
  if (!router.isRouter || typeof router.getRoutes !== "function") return "not a router";
  const routes: Route[] = [];
  const found = router.getRoutes();
  for (let i = 0; i < found.length; i++)
    routes[i] = { path: asText(found[i][0]), method: asText(found[i][1]) };
  return routes;
}

function describeCrons(crons: any): ModuleExports["crons"] {
  if (crons === undefined || crons === null) return "missing";
  if (!crons.isCrons || typeof crons.export !== "function") return "not crons";
  return asText(crons.export());
}
