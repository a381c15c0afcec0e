/** What a function's name or reference stands for. */

import { APP } from "../push/definitions.ts";
import { instances } from "../push/diffs.ts";
import { UserError } from "../database/user_error.ts";
import { BadRequest } from "../errors.ts";
import { parseFunctionHandle } from "../values/handles.ts";
import type { AnalyzedFunction, EvaluatedDefinition, Json, Push } from "../protocol.ts";

export type Kind = "query" | "mutation" | "action";

/** a function that is there */
export interface Target {
  /** Path of the component's instance. */
  component: string;
  definitionPath: string;
  definition: EvaluatedDefinition;
  /** `dir/mod.js`. */
  module: string;
  name: string;
  analyzed: AnalyzedFunction;
  kind: Kind;
  /** Whether it runs in Node. */
  node: boolean;
}

/** `mod:fn`, `mod.js:fn` or `mod` in its parts. */
export function parsePath(path: string): { module: string; name: string } {
  const [module = "", name = "default", ...rest] = path.split(":");
  if (rest.length > 0 || module === "")
    throw new BadRequest(`${JSON.stringify(path)} is no function's path`);
  return { module: module.endsWith(".js") ? module : `${module}.js`, name };
}

export function canonical({ module, name }: { module: string; name: string }) {
  return `${module}:${name}`;
}

/** As errors name it: a default export by its module alone. */
export function shown(parsed: { module: string; name: string }) {
  return display(parsed).replace(/:default$/, "");
}

/** As users write it. */
export function display({ module, name }: { module: string; name: string }) {
  return `${module.replace(/\.js$/, "")}:${name}`;
}

export function definitionOf(push: Push | null, component: string) {
  const tree =
    push === null
      ? undefined
      : instances(push.tree).find((each) => each.componentPath === component);
  const definition = tree === undefined ? undefined : push?.definitions.get(tree.definitionPath);
  return tree === undefined || definition === undefined
    ? null
    : { path: tree.definitionPath, definition };
}

/** The index of a definition among those of a push: what isolates call it. */
export function definitionIndex(push: Push, path: string) {
  return [...push.definitions.keys()].filter((each) => each !== APP).indexOf(path) + 1;
}

export function findTarget(push: Push | null, component: string, path: string): Target | null {
  const found = definitionOf(push, component);
  if (found === null || push === null) return null;
  const { module, name } = parsePath(path);
  const analyzed = found.definition.functions
    .get(module)
    ?.functions.find((each) => each.name === name);
  if (analyzed === undefined) return null;
  return {
    ...{
      component,
      definitionPath: found.path,
      definition: found.definition,
      module,
      name,
      analyzed,
    },
    kind: analyzed.udfType.toLowerCase() as Kind,
    node: component === APP && push.modules.get(module)?.environment === "node",
  };
}

/**
 * What a syscall's `{name}`, `{reference}` or `{functionHandle}` stands for.
 * @param component the caller's
 * @returns `byHandle`: whoever made the handle could call it
 */
export function resolveAddress(
  push: Push | null,
  component: string,
  { name, reference, functionHandle }: { [key: string]: Json },
): { component: string; path: string; byHandle?: boolean } {
  if (typeof name === "string") return { component, path: name };
  if (typeof functionHandle === "string") {
    const handled = parseFunctionHandle(functionHandle);
    if (handled === null) throw new UserError(`Invalid function handle: ${functionHandle}`);
    return { ...handled, byHandle: true };
  }
  const parts = typeof reference === "string" ? reference.split("/") : [];
  const [prefix, kind, child = "", ...rest] = parts;
  if (prefix === "_reference" && kind === "function")
    return { component, path: parts.slice(2).join("/") };
  if (prefix !== "_reference" || kind !== "childComponent") {
    throw new UserError(`Invalid function reference: ${JSON.stringify(reference ?? null)}`);
  }
  const tree =
    push === null
      ? undefined
      : instances(push.tree).find((each) => each.componentPath === component);
  if (!tree?.children.some(([each]) => each === child))
    throw new UserError(`Component ${child} is not installed.`);
  const function_ = rest.pop() ?? "";
  return {
    component: component === APP ? child : `${component}/${child}`,
    path: `${rest.join("/")}:${function_}`,
  };
}
