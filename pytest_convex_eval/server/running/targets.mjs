/**
 * What a function's name or reference stands for.
 * @import { AnalyzedFunction, EvaluatedDefinition, Json, Push } from "../protocol.d.ts"
 */

import { APP } from "../push/definitions.mjs";
import { instances } from "../push/diffs.mjs";
import { UserError } from "../database/user_error.mjs";
import { BadRequest } from "../errors.mjs";

/** @typedef {"query" | "mutation" | "action"} Kind */

/**
 * @typedef {object} Target a function that is there
 * @property {string} component path of the component's instance
 * @property {string} definitionPath
 * @property {EvaluatedDefinition} definition
 * @property {string} module `dir/mod.js`
 * @property {string} name
 * @property {AnalyzedFunction} analyzed
 * @property {Kind} kind
 * @property {boolean} node whether it runs in Node
 */

/** `mod:fn`, `mod.js:fn` or `mod` in its parts. @param {string} path @returns {{ module: string, name: string }} */
export function parsePath(path) {
  const [module = "", name = "default", ...rest] = path.split(":");
  if (rest.length > 0 || module === "") throw new BadRequest(`${JSON.stringify(path)} is no function's path`);
  return { module: module.endsWith(".js") ? module : `${module}.js`, name };
}

/** @param {{ module: string, name: string }} target */
export function canonical({ module, name }) {
  return `${module}:${name}`;
}

/** As users write it. @param {{ module: string, name: string }} target */
export function display({ module, name }) {
  return `${module.replace(/\.js$/, "")}:${name}`;
}

/** @param {Push | null} push @param {string} component */
export function definitionOf(push, component) {
  const tree = push === null ? undefined : instances(push.tree).find((each) => each.componentPath === component);
  const definition = tree === undefined ? undefined : push?.definitions.get(tree.definitionPath);
  return tree === undefined || definition === undefined ? null : { path: tree.definitionPath, definition };
}

/** The index of a definition among those of a push: what isolates call it. @param {Push} push @param {string} path */
export function definitionIndex(push, path) {
  return [...push.definitions.keys()].filter((each) => each !== APP).indexOf(path) + 1;
}

/**
 * @param {Push | null} push
 * @param {string} component
 * @param {string} path
 * @returns {Target | null}
 */
export function findTarget(push, component, path) {
  const found = definitionOf(push, component);
  if (found === null || push === null) return null;
  const { module, name } = parsePath(path);
  const analyzed = found.definition.functions.get(module)?.functions.find((each) => each.name === name);
  if (analyzed === undefined) return null;
  return {
    ...{ component, definitionPath: found.path, definition: found.definition, module, name, analyzed },
    kind: /** @type {Kind} */ (analyzed.udfType.toLowerCase()),
    node: component === APP && push.modules.get(module)?.environment === "node",
  };
}

/**
 * What a syscall's `{name}`, `{reference}` or `{functionHandle}` stands for.
 * @param {Push | null} push
 * @param {string} component the caller's
 * @param {{ [key: string]: Json }} address
 * @returns {{ component: string, path: string, byHandle?: boolean }} `byHandle`: whoever made the handle could call it
 */
export function resolveAddress(push, component, { name, reference, functionHandle }) {
  if (typeof name === "string") return { component, path: name };
  if (typeof functionHandle === "string") {
    const [, handle = ""] = functionHandle.split("function://");
    const at = handle.indexOf(";");
    if (at < 0) throw new UserError(`Invalid function handle: ${functionHandle}`);
    return { component: handle.slice(0, at), path: handle.slice(at + 1), byHandle: true };
  }
  const parts = typeof reference === "string" ? reference.split("/") : [];
  const [prefix, kind, child = "", ...rest] = parts;
  if (prefix === "_reference" && kind === "function") return { component, path: parts.slice(2).join("/") };
  if (prefix !== "_reference" || kind !== "childComponent") {
    throw new UserError(`Invalid function reference: ${JSON.stringify(reference ?? null)}`);
  }
  const tree = push === null ? undefined : instances(push.tree).find((each) => each.componentPath === component);
  if (!tree?.children.some(([each]) => each === child)) throw new UserError(`Component ${child} is not installed.`);
  const function_ = rest.pop() ?? "";
  return { component: component === APP ? child : `${component}/${child}`, path: `${rest.join("/")}:${function_}` };
}

/** @param {{ component: string, path: string }} address */
export function functionHandle({ component, path }) {
  return `function://${component};${path}`;
}
