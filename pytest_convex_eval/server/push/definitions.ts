/** App and component definitions: their order, what they export, and the tree they make. */

import { Refusal, requireKnown } from "../errors.ts";
import { Origins } from "./modules.ts";
import { isStringLike, parseValidator } from "../values/validators.ts";
import { pushedNameProblem } from "../values/identifiers.ts";
import type {
  AnalyzedModule,
  ComponentSource,
  ComponentTree,
  Definition,
  EnvBinding,
  EvaluatedDefinition,
  Exports,
  Module,
  UnitValue,
} from "../protocol.ts";

/** The path of the app's own definition. */
export const APP = "";

/**
 * Components in an order in which each stands after those that it uses.
 * @throws Refusal one uses itself, through others or not
 */
export function inDependencyOrder(components: ComponentSource[]) {
  const byPath = new Map(components.map((component) => [component.definitionPath, component]));
  const ordered: ComponentSource[] = [];
  const visiting = new Set();
  const visit = (component: ComponentSource) => {
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

const FIELDS = new Set(
  "definitionType name httpPrefix childComponents httpMounts exports envVars args".split(" "),
);

/** @throws Refusal @throws UnknownFeature a newer library's */
export function checkDefinition(
  value: Extract<UnitValue, { kind: "definition" }>,
  path: string,
  module: Module,
): Definition {
  const position = new Origins([module]).start(module.path);
  const refuse = (code: string, message: string) =>
    new Refusal(code, message, { position, component: path });
  const owner = path === APP ? "the app" : `component ${path}`;
  if (value.json === null) {
    const what =
      value.problem === "missing"
        ? "is missing a default export"
        : "has a default export that is no definition";
    throw refuse("InvalidDefinition", `The convex.config file of ${owner} ${what}`);
  }
  const raw = JSON.parse(value.json);
  requireKnown("definition field", raw, FIELDS);
  const isApp = raw.definitionType?.type === "app";
  if (isApp !== (path === APP)) {
    const wanted = path === APP ? "defineApp()" : "defineComponent()";
    throw refuse(
      "InvalidDefinition",
      `The convex.config file of ${owner} must export a definition made by ${wanted}`,
    );
  }
  const envVars: Definition["envVars"] = raw.envVars ?? [];
  for (const [name, declared] of envVars) {
    if (isStringLike(parseValidator(JSON.parse(declared.value)))) continue;
    throw refuse(
      "InvalidEnvVarDeclaration",
      `Env var \`${name}\` on ${owner} has a non-string validator. Component env vars must be declared with ` +
        '`v.string()`, `v.literal("...")`, or a union of those.',
    );
  }
  const childComponents: Definition["childComponents"] = (raw.childComponents ?? []).map(
    (child: any) => ({
      name: String(child.name),
      path: String(child.path),
      env: child.env ?? [],
    }),
  );
  const names = new Set();
  for (const { name } of childComponents) {
    if (pushedNameProblem(name) !== null) {
      throw refuse("TypecheckError", `Invalid component name ${JSON.stringify(name)} in ${owner}`);
    }
    if (names.has(name))
      throw refuse("TypecheckError", `Duplicate child component name ${name} in ${owner}`);
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

/** The definition of an app without a convex.config file. */
export function emptyApp(): Definition {
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

/** The tree of component instances. @throws Refusal TypecheckError */
export function buildTree(definitions: Map<string, EvaluatedDefinition>): ComponentTree {
  for (const { definition } of definitions.values()) {
    checkMounts(definition, definitions);
    for (const child of definition.childComponents) checkEnv(definition, child, definitions);
  }
  return instantiate(APP, APP, definitions);
}

function instantiate(
  definitionPath: string,
  componentPath: string,
  definitions: Map<string, EvaluatedDefinition>,
): ComponentTree {
  const evaluated = definitions.get(definitionPath);
  const children = (evaluated?.definition.childComponents ?? []).map(({ name, path }) => {
    const childPath = componentPath === APP ? name : `${componentPath}/${name}`;
    return [name, instantiate(path, childPath, definitions)] as [string, ComponentTree];
  });
  return { definitionPath, componentPath, children };
}

function checkMounts(definition: Definition, definitions: Map<string, EvaluatedDefinition>) {
  const prefixes = Object.keys(definition.httpMounts);
  for (const prefix of prefixes) {
    const name = definition.httpMounts[prefix]?.split("/").at(-1);
    const child = definition.childComponents.find((each) => each.name === name);
    const mounted = definitions.get(child?.path ?? "");
    const routes = mounted?.functions.get("http.js")?.httpRoutes;
    // Routes of its own, or of what it has mounted itself.
    const isServed =
      Boolean(routes) || Object.keys(mounted?.definition.httpMounts ?? {}).length > 0;
    if (child === undefined || !isServed) {
      throw new Refusal(
        "TypecheckError",
        `Component ${name} is mounted at ${prefix} but has no HTTP routes`,
        {
          component: definition.path,
        },
      );
    }
    const overlapping = prefixes.find((other) => other !== prefix && other.startsWith(prefix));
    if (overlapping !== undefined) {
      throw new Refusal("TypecheckError", `HTTP mounts ${prefix} and ${overlapping} overlap`, {
        component: definition.path,
      });
    }
  }
}

function checkEnv(
  parent: Definition,
  child: { name: string; path: string; env: [string, EnvBinding][] },
  definitions: Map<string, EvaluatedDefinition>,
) {
  const declared = new Map(definitions.get(child.path)?.definition.envVars ?? []);
  const ofParent = new Set(parent.envVars.map(([name]) => name));
  const bound = new Set();
  const refuse = (message: string) =>
    new Refusal("TypecheckError", `Component ${child.name}: ${message}`, {
      component: parent.path,
    });
  for (const [name, binding] of child.env) {
    if (!declared.has(name))
      throw refuse(`env var ${name} is bound but not declared by the component`);
    if (binding.type === "envVar" && !ofParent.has(binding.name)) {
      throw refuse(
        `env var ${name} is bound to ${binding.name}, which its parent does not declare`,
      );
    }
    bound.add(name);
  }
  for (const [name, { optional }] of declared) {
    if (!optional && !bound.has(name)) throw refuse(`required env var ${name} is not bound`);
  }
}

/** What a component offers its parent: its public functions, nested by the parts of their modules' paths. */
export function functionExports(
  modules: Map<string, AnalyzedModule>,
): Extract<Exports, { type: "branch" }> {
  const root: Extract<Exports, { type: "branch" }> = { type: "branch", branch: [] };
  for (const [path, { functions }] of modules) {
    for (const { name, visibility } of functions) {
      if (visibility?.kind !== "public") continue;
      const parts = [...path.replace(/\.js$/, "").split("/"), name];
      insert(root, parts, `_reference/function/${path}:${name}`);
    }
  }
  return root;
}

function insert(tree: Extract<Exports, { type: "branch" }>, parts: string[], leaf: string) {
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
