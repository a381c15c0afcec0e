/**
 * App and component definitions: their order, what they export, and the tree they make.
 * @import { AnalyzedModule, ComponentSource, ComponentTree, Definition, EnvBinding, EvaluatedDefinition, Exports, Module, UnitValue } from "../protocol.d.ts"
 */

import { Refusal } from "../errors.mjs";
import { Origins } from "./modules.mjs";
import { isStringLike, parseValidator } from "../values/validators.mjs";
import { identifierProblem } from "../values/identifiers.mjs";

/** The path of the app's own definition. */
export const APP = "";

/**
 * Components in an order in which each stands after those that it uses.
 * @param {ComponentSource[]} components
 * @throws {Refusal} one uses itself, through others or not
 */
export function inDependencyOrder(components) {
  const byPath = new Map(components.map((component) => [component.definitionPath, component]));
  /** @type {ComponentSource[]} */
  const ordered = [];
  const visiting = new Set();
  const visit = (/** @type {ComponentSource} */ component) => {
    const { definitionPath } = component;
    if (ordered.includes(component)) return;
    if (visiting.has(definitionPath)) {
      throw new Refusal("TypecheckError", `Component ${definitionPath} uses itself`);
    }
    visiting.add(definitionPath);
    for (const path of component.dependencies) {
      const dependency = byPath.get(path);
      if (dependency !== undefined) visit(dependency);
    }
    ordered.push(component);
  };
  components.forEach(visit);
  return ordered;
}

/**
 * @param {Extract<UnitValue, { kind: "definition" }>} value
 * @param {string} path
 * @param {Module} module
 * @returns {Definition}
 * @throws {Refusal}
 */
export function checkDefinition(value, path, module) {
  const position = new Origins([module]).start(module.path);
  const refuse = (/** @type {string} */ code, /** @type {string} */ message) =>
    new Refusal(code, message, { position, component: path });
  const owner = path === APP ? "the app" : `component ${path}`;
  if (value.json === null) {
    const what = value.problem === "missing" ? "is missing a default export" : "has a default export that is no definition";
    throw refuse("InvalidDefinition", `The convex.config file of ${owner} ${what}`);
  }
  const raw = JSON.parse(value.json);
  const isApp = raw.definitionType?.type === "app";
  if (isApp !== (path === APP)) {
    const wanted = path === APP ? "defineApp()" : "defineComponent()";
    throw refuse("InvalidDefinition", `The convex.config file of ${owner} must export a definition made by ${wanted}`);
  }
  /** @type {Definition["envVars"]} */
  const envVars = raw.envVars ?? [];
  for (const [name, declared] of envVars) {
    if (isStringLike(parseValidator(JSON.parse(declared.value)))) continue;
    throw refuse(
      "InvalidEnvVarDeclaration",
      `Env var \`${name}\` on ${owner} has a non-string validator. Component env vars must be declared with ` +
        '`v.string()`, `v.literal("...")`, or a union of those.',
    );
  }
  /** @type {Definition["childComponents"]} */
  const childComponents = (raw.childComponents ?? []).map((/** @type {any} */ child) => ({
    name: String(child.name),
    path: String(child.path),
    env: child.env ?? [],
  }));
  const names = new Set();
  for (const { name } of childComponents) {
    if (identifierProblem(name) !== null) {
      throw refuse("TypecheckError", `Invalid component name ${JSON.stringify(name)} in ${owner}`);
    }
    if (names.has(name)) throw refuse("TypecheckError", `Duplicate child component name ${name} in ${owner}`);
    names.add(name);
  }
  return {
    path,
    name: isApp ? null : String(raw.name),
    httpPrefix: raw.httpPrefix ?? null,
    childComponents,
    httpMounts: raw.httpMounts ?? {},
    exports: raw.exports ?? { type: "branch", branch: [] },
    envVars,
  };
}

/** The definition of an app without a convex.config file. @returns {Definition} */
export function emptyApp() {
  return {
    path: APP,
    name: null,
    httpPrefix: null,
    childComponents: [],
    httpMounts: {},
    exports: { type: "branch", branch: [] },
    envVars: [],
  };
}

/**
 * The tree of component instances.
 * @param {Map<string, EvaluatedDefinition>} definitions
 * @returns {ComponentTree}
 * @throws {Refusal} TypecheckError
 */
export function buildTree(definitions) {
  for (const { definition } of definitions.values()) {
    checkMounts(definition, definitions);
    for (const child of definition.childComponents) checkEnv(definition, child, definitions);
  }
  return instantiate(APP, APP, definitions);
}

/** @param {string} definitionPath @param {string} componentPath @param {Map<string, EvaluatedDefinition>} definitions @returns {ComponentTree} */
function instantiate(definitionPath, componentPath, definitions) {
  const evaluated = definitions.get(definitionPath);
  const children = (evaluated?.definition.childComponents ?? []).map(({ name, path }) => {
    const childPath = componentPath === APP ? name : `${componentPath}/${name}`;
    return /** @type {[string, ComponentTree]} */ ([name, instantiate(path, childPath, definitions)]);
  });
  return { definitionPath, componentPath, children };
}

/** @param {Definition} definition @param {Map<string, EvaluatedDefinition>} definitions */
function checkMounts(definition, definitions) {
  const prefixes = Object.keys(definition.httpMounts);
  for (const prefix of prefixes) {
    const name = definition.httpMounts[prefix]?.split("/").at(-1);
    const child = definition.childComponents.find((each) => each.name === name);
    const mounted = definitions.get(child?.path ?? "");
    const routes = mounted?.functions.get("http.js")?.httpRoutes;
    // Routes of its own, or of what it has mounted itself.
    const isServed = Boolean(routes) || Object.keys(mounted?.definition.httpMounts ?? {}).length > 0;
    if (child === undefined || !isServed) {
      throw new Refusal("TypecheckError", `Component ${name} is mounted at ${prefix} but has no HTTP routes`, {
        component: definition.path,
      });
    }
    const overlapping = prefixes.find((other) => other !== prefix && other.startsWith(prefix));
    if (overlapping !== undefined) {
      throw new Refusal("TypecheckError", `HTTP mounts ${prefix} and ${overlapping} overlap`, {
        component: definition.path,
      });
    }
  }
}

/** @param {Definition} parent @param {{ name: string, path: string, env: [string, EnvBinding][] }} child @param {Map<string, EvaluatedDefinition>} definitions */
function checkEnv(parent, child, definitions) {
  const declared = new Map(definitions.get(child.path)?.definition.envVars ?? []);
  const ofParent = new Set(parent.envVars.map(([name]) => name));
  const bound = new Set();
  const refuse = (/** @type {string} */ message) =>
    new Refusal("TypecheckError", `Component ${child.name}: ${message}`, { component: parent.path });
  for (const [name, binding] of child.env) {
    if (!declared.has(name)) throw refuse(`env var ${name} is bound but not declared by the component`);
    if (binding.type === "envVar" && !ofParent.has(binding.name)) {
      throw refuse(`env var ${name} is bound to ${binding.name}, which its parent does not declare`);
    }
    bound.add(name);
  }
  for (const [name, { optional }] of declared) {
    if (!optional && !bound.has(name)) throw refuse(`required env var ${name} is not bound`);
  }
}

/**
 * What a component offers its parent: its public functions, nested by the parts of their modules' paths.
 * @param {Map<string, AnalyzedModule>} modules
 * @returns {Extract<Exports, { type: "branch" }>}
 */
export function functionExports(modules) {
  /** @type {Extract<Exports, { type: "branch" }>} */
  const root = { type: "branch", branch: [] };
  for (const [path, { functions }] of modules) {
    for (const { name, visibility } of functions) {
      if (visibility?.kind !== "public") continue;
      const parts = [...path.replace(/\.js$/, "").split("/"), name];
      insert(root, parts, `_reference/function/${path}:${name}`);
    }
  }
  return root;
}

/** @param {Extract<Exports, { type: "branch" }>} tree @param {string[]} parts @param {string} leaf */
function insert(tree, parts, leaf) {
  const [name, ...rest] = parts;
  if (name === undefined) return;
  if (rest.length === 0) {
    tree.branch.push([name, { type: "leaf", leaf }]);
    return;
  }
  let child = tree.branch.find(([each]) => each === name)?.[1];
  if (child?.type !== "branch") {
    child = { type: "branch", branch: [] };
    tree.branch.push([name, child]);
  }
  insert(child, rest, leaf);
}
