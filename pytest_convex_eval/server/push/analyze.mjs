/**
 * From a push request to what would be live, with every check of the backend in its order: modules,
 * auth, schemas, components' modules, definitions, the component tree.
 *
 * @import { AnalyzedModule, AuthProvider, Definition, EvaluatedDefinition, Failure, Module, Push, PushPhase, PushRequest, Schema, Unit, UnitValue } from "../protocol.d.ts"
 * @import { Isolates } from "../isolates/isolate.mjs"
 * @import { Packages } from "./packages.mjs"
 */

import { randomUUID } from "node:crypto";

import { checkAuth, NO_PROVIDERS } from "./auth.mjs";
import { checkCronTargets } from "./crons.mjs";
import { APP, buildTree, checkDefinition, emptyApp, inDependencyOrder } from "./definitions.mjs";
import { Refusal, Unsupported } from "../errors.mjs";
import { checkModule, refuseFailure } from "./functions.mjs";
import { assemble, checkPaths, checkSizes, isChunk, Origins } from "./modules.mjs";
import { checkSchema } from "./schema.mjs";

const AUTH_CONFIG = "auth.config.js";

/** What each kind of unit is for, and what its failure is called. */
const KINDS = /** @type {const} */ ({
  functions: { phase: "modules", code: "InvalidModules" },
  auth: { phase: "auth", code: "InvalidAuthConfig" },
  schema: { phase: "schema", code: "InvalidSchema" },
  definition: { phase: "components", code: "InvalidDefinition" },
});

/** A unit, and what becomes of its value. @typedef {{ unit: Unit, component: string, origins: Origins, check: (value: UnitValue) => void }} Step */

/**
 * @param {PushRequest} request
 * @param {{ isolates: Isolates, live: Push | null, env: Record<string, string>, builtins: Record<string, string>, packages: Packages | null }} context
 *   `builtins`: the variables that every function and component sees; `packages`: null where none can be had
 * @returns {Promise<Push>}
 * @throws {Refusal}
 */
export async function analyze(request, { isolates, live, env, builtins, packages }) {
  const modules = assemble(
    request.app.changedModules,
    request.app.unchangedModules,
    live?.modules ?? new Map(),
  );
  const { nodeDependencies } = request;
  await checkRequest(request, modules, packages !== null);
  await packages?.install(nodeDependencies);
  const components = inDependencyOrder(request.components);
  const origins = new Origins(modules.values());
  /** @type {Map<string, AnalyzedModule>} */
  const functions = new Map();
  /** @type {Map<string, Map<string, AnalyzedModule>>} */
  const componentFunctions = new Map();
  /** @type {Map<string, Schema>} */
  const schemas = new Map();
  /** @type {Map<string, Definition>} */
  const definitions = new Map([[APP, emptyApp()]]);
  /** @type {AuthProvider[]} */
  let auth = [];
  const all = { ...builtins, ...env };

  const [app, node] = split(modules);
  const nodeSteps = [functionsStep(node, APP, all, origins, modules, functions)];
  /** @type {Step[]} */
  const steps = [functionsStep(app, APP, all, origins, modules, functions, () => checkCronTargets(functions, origins))];
  const authModule = modules.get(AUTH_CONFIG);
  if (authModule !== undefined) {
    const check = (/** @type {UnitValue} */ value) => {
      if (value.kind === "auth") auth = checkAuth(value, origins);
    };
    steps.push({ unit: { kind: "auth", module: authModule, env: all }, component: APP, origins, check });
  }
  const withSchemas = [{ definitionPath: APP, schema: request.app.schema }, ...components];
  for (const { definitionPath, schema } of withSchemas) {
    if (schema === null) continue;
    const check = (/** @type {UnitValue} */ value) => {
      if (value.kind === "schema") schemas.set(definitionPath, checkSchema(value, schema));
    };
    const unit = /** @type {const} */ ({ kind: "schema", module: schema });
    steps.push({ unit, component: definitionPath, origins: new Origins([schema]), check });
  }
  for (const component of components) {
    const own = new Map(component.functions.map((module) => [module.path, module]));
    const found = new Map();
    componentFunctions.set(component.definitionPath, found);
    const ownOrigins = new Origins(own.values());
    steps.push(
      functionsStep([...own.values()], component.definitionPath, builtins, ownOrigins, own, found),
    );
  }
  const appDefinition = request.app.definition;
  const withDefinitions = [
    ...components.map(({ definitionPath, definition }) => ({ definitionPath, definition })),
    ...(appDefinition === null ? [] : [{ definitionPath: APP, definition: appDefinition }]),
  ];
  for (const { definitionPath, definition: module } of withDefinitions) {
    const check = (/** @type {UnitValue} */ value) => {
      if (value.kind !== "definition") return;
      definitions.set(definitionPath, checkDefinition(value, definitionPath, module));
    };
    const unit = /** @type {const} */ ({ kind: "definition", definitionPath, module, env: all });
    steps.push({ unit, component: definitionPath, origins: new Origins([module]), check });
  }

  await runSteps(isolates, steps, node.length > 0 ? nodeSteps : [], packages?.folderOf(nodeDependencies) ?? null);
  const sources = new Map(components.map((each) => [each.definitionPath, new Map(each.functions.map((module) => [module.path, module]))]));
  const versions = new Map(components.map((each) => [each.definitionPath, each.udfServerVersion]));
  /** @type {Map<string, EvaluatedDefinition>} */
  const evaluated = new Map();
  for (const [path, definition] of definitions) {
    evaluated.set(path, {
      definition,
      schema: schemas.get(path) ?? null,
      functions: sortedByPath(path === APP ? functions : (componentFunctions.get(path) ?? new Map())),
      modules: path === APP ? modules : (sources.get(path) ?? new Map()),
      serverVersion: versions.get(path) ?? request.app.udfServerVersion,
    });
  }
  const tree = checking("components", APP, () => buildTree(evaluated));
  return { id: randomUUID(), modules, definitions: evaluated, tree, auth, nodeDependencies, env };
}

/** @param {PushRequest} request @param {Map<string, Module>} modules @param {boolean} installs whether packages can be had */
async function checkRequest(request, modules, installs) {
  const { app } = request;
  checkPaths(modules.values());
  await checkSizes([...modules.values(), ...[app.schema, app.definition].filter((each) => each !== null)]);
  for (const { definitionPath, functions, schema, definition } of request.components) {
    checkPaths(functions);
    await checkSizes([...functions, definition, ...(schema === null ? [] : [schema])]);
    const node = functions.find((module) => module.environment === "node");
    if (node === undefined) continue;
    const text = `Node actions are not supported in components. Remove \`"use node;"\` from ${node.path}`;
    throw new Refusal("NodeActionsNotSupported", text, { component: definitionPath });
  }
  if (request.nodeVersion === "18") {
    throw new Refusal(
      "NodeVersionNotSupported",
      "Node 18 is no longer supported. Upgrade to a newer Node version (https://docs.convex.dev/production/project-configuration#configuring-the-nodejs-version).",
    );
  }
  if (request.nodeDependencies.length > 0 && !installs) {
    const names = request.nodeDependencies.map(({ name }) => name).join(", ");
    throw new Unsupported(
      `convex.json declares external packages (${names}), which this deployment, without a network, does not install.`,
    );
  }
}

/** The modules of the default and of the Node environment; each with what it imports.
 * @param {Map<string, Module>} modules */
function split(modules) {
  const all = [...modules.values()].filter(({ path }) => path !== AUTH_CONFIG);
  return [all.filter((each) => each.environment === "isolate"), all.filter((each) => each.environment === "node")];
}

/**
 * @param {Module[]} modules
 * @param {string} component
 * @param {Record<string, string>} env
 * @param {Origins} origins
 * @param {Map<string, Module>} byPath
 * @param {Map<string, AnalyzedModule>} found filled by the step
 * @param {() => void} [checkTogether] what no module shows alone; those for Node are known by then
 * @returns {Step}
 */
function functionsStep(modules, component, env, origins, byPath, found, checkTogether = () => {}) {
  const entries = modules.map(({ path }) => path).filter((path) => !isChunk(path)).sort();
  const plain = modules.map(({ path, source, environment }) => ({ path, source, environment }));
  /** @param {UnitValue} value */
  const check = (value) => {
    if (value.kind !== "functions") return;
    for (const each of value.modules) {
      const module = byPath.get(each.path);
      if (module !== undefined) found.set(each.path, checkModule(each, module, origins));
    }
    checkTogether();
  };
  return { unit: { kind: "functions", modules: plain, entries, env }, component, origins, check };
}

/**
 * Evaluates both environments at the same time, and reports the failure that comes first.
 * @param {Isolates} isolates @param {Step[]} steps @param {Step[]} nodeSteps
 * @param {string | null} packages the folder of those that Node's can import
 */
async function runSteps(isolates, steps, nodeSteps, packages) {
  const [main, node] = await Promise.all([
    isolates.evaluate(steps.map(({ unit }) => unit)),
    isolates.evaluate(nodeSteps.map(({ unit }) => unit), { node: true, packages }),
  ]);
  const inModules = main.failure?.unit === 0;
  if (node.failure !== null && !(inModules && (main.failure?.module ?? "") < node.failure.module)) {
    raise(node.failure, nodeSteps);
  }
  checkValues(node.values, nodeSteps);
  checkValues(main.values, steps);
  if (main.failure !== null) raise(main.failure, steps);
}

/** @param {UnitValue[]} values @param {Step[]} steps */
function checkValues(values, steps) {
  values.forEach((value, i) => {
    const step = steps[i];
    if (step === undefined) return;
    checking(KINDS[step.unit.kind].phase, step.component, () => step.check(value));
  });
}

/** @param {Failure} failure @param {Step[]} steps @returns {never} */
function raise(failure, steps) {
  const step = steps[failure.unit];
  if (step === undefined) throw new Error(`An isolate failed in a unit that it was not given.`);
  const { phase, code: usual } = KINDS[step.unit.kind];
  const varies = failure.reason === "threw" && failure.varies === true;
  const code = varies ? "AuthConfigNotMatchingSchemaError" : usual;
  const prefix = varies ? NO_PROVIDERS : phase === "modules" ? `Failed to analyze ${failure.module}: ` : "";
  return checking(phase, step.component, () => {
    throw refuseFailure(failure, step.origins, { code, prefix });
  });
}

/** @template T @param {PushPhase} phase @param {string} component @param {() => T} check @returns {T} */
function checking(phase, component, check) {
  try {
    return check();
  } catch (error) {
    if (error instanceof Refusal) throw error.during(phase, { component });
    throw error;
  }
}

/** @param {Map<string, AnalyzedModule>} modules */
function sortedByPath(modules) {
  return new Map([...modules].sort(([a], [b]) => (a < b ? -1 : 1)));
}
