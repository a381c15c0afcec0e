/**
 * From a push request to what would be live, with every check of the backend in its order: modules,
 * auth, schemas, components' modules, definitions, the component tree.
 */

import { randomUUID } from "node:crypto";

import { checkAuth, NO_PROVIDERS } from "./auth.ts";
import { checkCronTargets } from "./crons.ts";
import { APP, buildTree, checkDefinition, emptyApp, inDependencyOrder } from "./definitions.ts";
import { Refusal, Unsupported } from "../errors.ts";
import { checkModule, refuseFailure } from "./functions.ts";
import { assemble, checkPaths, checkSizes, isChunk, Origins } from "./modules.ts";
import { checkSchema } from "./schema.ts";
import type {
  AnalyzedModule,
  AuthProvider,
  Definition,
  EvaluatedDefinition,
  Failure,
  Module,
  Push,
  PushPhase,
  PushRequest,
  Schema,
  Unit,
  UnitValue,
} from "../protocol.ts";
import type { Isolates } from "../isolates/isolate.ts";
import type { Packages } from "./packages.ts";

const AUTH_CONFIG = "auth.config.js";

/** What each kind of unit is for, and what its failure is called. */
const KINDS = {
  functions: { phase: "modules", code: "InvalidModules" },
  auth: { phase: "auth", code: "InvalidAuthConfig" },
  schema: { phase: "schema", code: "InvalidSchema" },
  definition: { phase: "components", code: "InvalidDefinition" },
} as const;

/** A unit, and what becomes of its value. */
export type Step = {
  unit: Unit;
  component: string;
  origins: Origins;
  check: (value: UnitValue) => void;
};

/**
 * @param context `builtins`: the variables that every function and component sees; `packages`: null where none can be had
 * @throws Refusal
 */
export async function analyze(
  request: PushRequest,
  {
    isolates,
    live,
    env,
    builtins,
    packages,
  }: {
    isolates: Isolates;
    live: Push | null;
    env: Record<string, string>;
    builtins: Record<string, string>;
    packages: Packages | null;
  },
): Promise<Push> {
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
  const functions: Map<string, AnalyzedModule> = new Map();
  const componentFunctions: Map<string, Map<string, AnalyzedModule>> = new Map();
  const schemas: Map<string, Schema> = new Map();
  const definitions: Map<string, Definition> = new Map([[APP, emptyApp()]]);
  let auth: AuthProvider[] = [];
  const all = { ...builtins, ...env };

  const [app, node] = split(modules);
  const nodeSteps = [functionsStep(node, APP, all, origins, modules, functions)];
  const steps: Step[] = [
    functionsStep(app, APP, all, origins, modules, functions, () =>
      checkCronTargets(functions, origins),
    ),
  ];
  const authModule = modules.get(AUTH_CONFIG);
  if (authModule !== undefined) {
    const check = (value: UnitValue) => {
      if (value.kind === "auth") auth = checkAuth(value, origins);
    };
    steps.push({
      unit: { kind: "auth", module: authModule, env: all },
      component: APP,
      origins,
      check,
    });
  }
  const withSchemas = [{ definitionPath: APP, schema: request.app.schema }, ...components];
  for (const { definitionPath, schema } of withSchemas) {
    if (schema === null) continue;
    const check = (value: UnitValue) => {
      if (value.kind === "schema") schemas.set(definitionPath, checkSchema(value, schema));
    };
    const unit = { kind: "schema", module: schema } as const;
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
    const check = (value: UnitValue) => {
      if (value.kind !== "definition") return;
      definitions.set(definitionPath, checkDefinition(value, definitionPath, module));
    };
    const unit = { kind: "definition", definitionPath, module, env: all } as const;
    steps.push({ unit, component: definitionPath, origins: new Origins([module]), check });
  }

  await runSteps(
    isolates,
    steps,
    node.length > 0 ? nodeSteps : [],
    packages?.folderOf(nodeDependencies) ?? null,
  );
  const sources = new Map(
    components.map((each) => [
      each.definitionPath,
      new Map(each.functions.map((module) => [module.path, module])),
    ]),
  );
  const versions = new Map(components.map((each) => [each.definitionPath, each.udfServerVersion]));
  const evaluated: Map<string, EvaluatedDefinition> = new Map();
  for (const [path, definition] of definitions) {
    evaluated.set(path, {
      definition,
      schema: schemas.get(path) ?? null,
      functions: sortedByPath(
        path === APP ? functions : (componentFunctions.get(path) ?? new Map()),
      ),
      modules: path === APP ? modules : (sources.get(path) ?? new Map()),
      serverVersion: versions.get(path) ?? request.app.udfServerVersion,
    });
  }
  const tree = checking("components", APP, () => buildTree(evaluated));
  return { id: randomUUID(), modules, definitions: evaluated, tree, auth, nodeDependencies, env };
}

/** @param installs whether packages can be had */
async function checkRequest(request: PushRequest, modules: Map<string, Module>, installs: boolean) {
  const { app } = request;
  checkPaths(modules.values());
  await checkSizes([
    ...modules.values(),
    ...[app.schema, app.definition].filter((each) => each !== null),
  ]);
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

/** The modules of the default and of the Node environment; each with what it imports. */
function split(modules: Map<string, Module>) {
  const all = [...modules.values()].filter(({ path }) => path !== AUTH_CONFIG);
  return [
    all.filter((each) => each.environment === "isolate"),
    all.filter((each) => each.environment === "node"),
  ];
}

/**
 * @param found filled by the step
 * @param checkTogether what no module shows alone; those for Node are known by then
 */
function functionsStep(
  modules: Module[],
  component: string,
  env: Record<string, string>,
  origins: Origins,
  byPath: Map<string, Module>,
  found: Map<string, AnalyzedModule>,
  checkTogether: () => void = () => {},
): Step {
  const entries = modules
    .map(({ path }) => path)
    .filter((path) => !isChunk(path))
    .sort();
  const plain = modules.map(({ path, source, environment }) => ({ path, source, environment }));
  const check = (value: UnitValue) => {
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
 * @param packages the folder of those that Node's can import
 */
async function runSteps(
  isolates: Isolates,
  steps: Step[],
  nodeSteps: Step[],
  packages: string | null,
) {
  const [main, node] = await Promise.all([
    isolates.evaluate(steps.map(({ unit }) => unit)),
    isolates.evaluate(
      nodeSteps.map(({ unit }) => unit),
      { node: true, packages },
    ),
  ]);
  const inModules = main.failure?.unit === 0;
  if (node.failure !== null && !(inModules && (main.failure?.module ?? "") < node.failure.module)) {
    raise(node.failure, nodeSteps);
  }
  checkValues(node.values, nodeSteps);
  checkValues(main.values, steps);
  if (main.failure !== null) raise(main.failure, steps);
}

function checkValues(values: UnitValue[], steps: Step[]) {
  values.forEach((value, i) => {
    const step = steps[i];
    if (step === undefined) return;
    checking(KINDS[step.unit.kind].phase, step.component, () => step.check(value));
  });
}

function raise(failure: Failure, steps: Step[]): never {
  const step = steps[failure.unit];
  if (step === undefined) throw new Error(`An isolate failed in a unit that it was not given.`);
  const { phase, code: usual } = KINDS[step.unit.kind];
  const varies = failure.reason === "threw" && failure.varies === true;
  const code = varies ? "AuthConfigNotMatchingSchemaError" : usual;
  const prefix = varies
    ? NO_PROVIDERS
    : phase === "modules"
      ? `Failed to analyze ${failure.module}: `
      : "";
  return checking(phase, step.component, () => {
    throw refuseFailure(failure, step.origins, { code, prefix });
  });
}

function checking<T>(phase: PushPhase, component: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof Refusal) throw error.during(phase, { component });
    throw error;
  }
}

function sortedByPath(modules: Map<string, AnalyzedModule>) {
  return new Map([...modules].sort(([a], [b]) => (a < b ? -1 : 1)));
}
