/** What isolates found in modules, checked and put in the order of the source. */

import { HEAP_MEBIBYTES, IMPORT_SECONDS } from "../isolates/isolate.ts";
import { checkCrons } from "./crons.ts";
import { Refusal, Unsupported } from "../errors.ts";
import { identifierProblem } from "../values/identifiers.ts";
import { parseValidator } from "../values/validators.ts";

import { isOwn } from "./modules.ts";
import type {
  AnalyzedFunction,
  AnalyzedModule,
  ExportedFunction,
  ExportedValidator,
  Failure,
  Module,
  ModuleExports,
  Thrown,
} from "../protocol.ts";
import type { Origins } from "./modules.ts";

/** @throws Refusal */
export function checkModule(
  found: ModuleExports,
  module: Module,
  origins: Origins,
): AnalyzedModule {
  const { path } = found;
  const functions = found.functions.map((each) => checkFunction(each, module, origins));
  const inSourceOrder = (a: AnalyzedFunction, b: AnalyzedFunction) =>
    compare(a.pos?.path ?? "", b.pos?.path ?? "") ||
    (a.pos?.line ?? 0) - (b.pos?.line ?? 0) ||
    (a.pos?.column ?? 0) - (b.pos?.column ?? 0);
  functions.sort(inSourceOrder);
  const position = origins.start(path);
  if (found.router === "missing") {
    const text = `\`convex/http.js\` must have a default export of a Router.`;
    throw new Refusal("InvalidModules", text, { position });
  }
  if (found.router === "not a router") {
    const text = "The default export of `convex/http.js` is not a Router.";
    throw new Refusal("InvalidModules", text, { position });
  }
  if (found.crons === "missing") {
    const text = "`convex/crons.js` must have a default export of a Crons object.";
    throw new Refusal("InvalidModules", text, { position });
  }
  if (found.crons === "not crons") {
    const text = "The default export of `convex/crons.js` is not a Crons object.";
    throw new Refusal("InvalidModules", text, { position });
  }
  return {
    functions,
    httpActions: found.httpActions,
    httpRoutes: found.router,
    crons: found.crons === null ? null : checkCrons(found.crons, path, origins),
  };
}

function compare(a: string, b: string) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function checkFunction(each: ExportedFunction, module: Module, origins: Origins): AnalyzedFunction {
  const { path } = module;
  const pos = locate(each, module, origins);
  const where = { position: pos };
  const wrong = functionNameProblem(each.name);
  if (wrong !== null) {
    const text = `Invalid function name used in \`${path}\`: ${wrong}`;
    throw new Refusal("InvalidFunctionName", text, where);
  }
  if (!each.handlerIsFunction) {
    throw new Refusal("InvalidModules", `${path}:${each.name}.handler is not a function.`, where);
  }
  if (module.environment === "node" && each.kind !== "Action") {
    throw new Refusal(
      "InvalidModules",
      `\`${each.name}\` defined in \`${path}\` is a ${each.kind} function. Only actions can be defined in ` +
        "Node.js. See https://docs.convex.dev/functions/actions for more details.",
      where,
    );
  }
  const name = `${path}:${each.name}`;
  return {
    name: each.name,
    udfType: each.kind,
    visibility: each.visibility === null ? null : { kind: each.visibility },
    args: checkValidator(each.args, `${name}.exportArgs()`, where, { ofArguments: true }),
    returns: checkValidator(each.returns, `${name}.exportReturns()`, where),
    pos,
  };
}

function functionNameProblem(name: string): string | null {
  if (/^_+$/.test(name)) return `Identifier "${name}" cannot have exclusively underscores.`;
  return identifierProblem(name);
}

function checkValidator(
  exported: ExportedValidator,
  source: string,
  where: { position: import("../protocol.ts").Position | null },
  { ofArguments = false }: { ofArguments?: boolean } = {},
) {
  if ("problem" in exported) throw new Refusal("InvalidModules", exported.problem, where);
  if (exported.json === null) return null;
  try {
    const validator = parseValidator(JSON.parse(exported.json));
    if (ofArguments && validator.type !== "object" && validator.type !== "any")
      throw new TypeError("Args validator must be an object or any");
    return JSON.stringify(validator);
  } catch (error) {
    if (error instanceof Unsupported) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const code = error instanceof Refusal ? error.code : "InvalidModules";
    throw new Refusal(code, `Invalid JSON returned from ${source}: ${reason}`, where);
  }
}

/**
 * The place of a function's handler: its text stands in the bundle as it does in the running code. Equal
 * texts are told apart by looking behind the export's own declaration first.
 */
function locate(each: ExportedFunction, module: Module, origins: Origins) {
  const local = localName(each.name, module.source);
  if (each.handlerText === null) return origins.find(module.path, `${local} = `);
  return (
    origins.find(module.path, each.handlerText, `${local} = `) ??
    origins.find(module.path, `${local} = `)
  );
}

/** What an export is called inside of its bundle, from `export { local as name }`. */
function localName(name: string, source: string) {
  const list = source.slice(source.lastIndexOf("export {"));
  return new RegExp(`([\\w$]+) as ${name.replace(/\$/g, "\\$")}\\b`).exec(list)?.[1] ?? name;
}

/** The refusal for a module that could not be evaluated. */
export function refuseFailure(
  failure: Failure,
  origins: Origins,
  { code, prefix }: { code: string; prefix: string },
) {
  if (failure.reason === "crashed") {
    return new Unsupported(`The isolate that evaluated ${failure.module} ended unexpectedly.`);
  }
  if (failure.reason === "threw") {
    const { text, position } = report(failure.error, origins);
    return new Refusal(code, prefix + text, {
      position: position ?? origins.start(failure.module),
    });
  }
  const text = {
    suspended: "Top-level awaits in source files are unsupported",
    timeout: `Function execution timed out (maximum duration: ${IMPORT_SECONDS}s)`,
    memory: `JavaScript execution ran out of memory (maximum memory usage: ${HEAP_MEBIBYTES} MB)`,
  }[failure.reason];
  return new Refusal(code, prefix + text, { position: origins.start(failure.module) });
}

/** `Uncaught Error: boom` with its frames in the project's own terms, and the logs before it. */
function report(error: Thrown, origins: Origins) {
  const lines = [`Uncaught ${error.text}`];
  let position = null;
  for (const frame of error.frames) {
    const source = origins.source(frame);
    const place = source === null ? frame : { ...source, module: source.source };
    lines.push(`    at ${frame.name} (${place.module}:${place.line}:${place.column})`);
    const own = origins.position(frame);
    // The first frame that is the project's own: the others are libraries'.
    if (position === null && own !== null && isOwn(own)) position = own;
  }
  return { text: [...lines, ...error.logs].join("\n"), position };
}
