/** The routes of a push, and their answers. */

import { APP, functionExports } from "../push/definitions.ts";
import { instances } from "../push/diffs.ts";
import { BadRequest } from "../errors.ts";
import { moduleHash } from "../push/modules.ts";
import { idOf } from "../push/packages.ts";
import { object, parsePush } from "../push/push_request.ts";
import type {
  AnalyzedModule,
  Cron,
  EvaluatedDefinition,
  Json,
  Push,
  ComponentTree,
} from "../protocol.ts";
import type { Deployment } from "../deployment.ts";
import type { Answer, Request } from "./http.ts";

/** What the CLI asks first: hashes of the live modules. */
export function configHashes(deployment: Deployment): Answer {
  deployment.isolates.prepare();
  const modules = [...(deployment.live?.modules.values() ?? [])];
  return {
    json: {
      config: { functions: "convex/", authInfo: deployment.live?.auth ?? [] },
      moduleHashes: modules.map((module) => ({
        path: module.path,
        hash: moduleHash(module),
        environment: module.environment,
      })),
      nodeDependencies: deployment.live?.nodeDependencies ?? [],
      udfServerVersion: deployment.live?.definitions.get(APP)?.serverVersion ?? null,
      nodeVersion: null,
    },
  };
}

/**
 * Advice that the CLI shows before a push (large backfills, discarded staged validators). There is
 * nothing to advise about an evaluation's data, and a schema's errors are start_push's to tell.
 */
export function evaluateSchema(): Answer {
  return { json: { componentSchemaEvaluations: {}, newComponentDefinitions: [] } };
}

export async function evaluatePush(deployment: Deployment, request: Request): Promise<Answer> {
  const started = await deployment.start(parsePush(await request.json()));
  return { json: { schemaChange: schemaChange(deployment.live, started) } };
}

export async function startPush(deployment: Deployment, request: Request): Promise<Answer> {
  const started = await deployment.start(parsePush(await request.json()));
  const { push } = started;
  return {
    json: {
      environmentVariables: push.env,
      externalDepsId: push.nodeDependencies.length === 0 ? null : idOf(push.nodeDependencies),
      componentDefinitionPackages: Object.fromEntries(
        [...push.definitions.keys()].map((path) => [path, {}]),
      ),
      appAuth: push.auth,
      analysis: Object.fromEntries(
        [...push.definitions].map(([path, evaluated]) => [path, describeDefinition(evaluated)]),
      ),
      app: checkedComponent(push.tree, push),
      schemaChange: schemaChange(deployment.live, started),
    },
  };
}

/** Whether the documents that are there fit the new schema. */
export async function waitForSchema(deployment: Deployment, request: Request): Promise<Answer> {
  const body = object(await request.json(), "the body");
  const found = await deployment.violation(pushId(body["schemaChange"] ?? null));
  if (found === "overtaken") return { json: { type: "raceDetected" } };
  if (found === null) return { json: { type: "complete" } };
  const { component, table, error } = found;
  return { json: { type: "failed", error, componentPath: component, tableName: table } };
}

function pushId(schemaChange: Json) {
  const id = object(object(schemaChange, "schemaChange")["schemaIds"] ?? null, "schemaIds")[APP];
  if (typeof id !== "string") throw new BadRequest("schemaChange names no push");
  return id;
}

export async function finishPush(deployment: Deployment, request: Request): Promise<Answer> {
  const body = object(await request.json(), "the body");
  const id = pushId(object(body["startPush"] ?? null, "startPush")["schemaChange"] ?? null);
  return { json: await deployment.finish(id, { dryRun: body["dryRun"] === true }) };
}

function schemaChange(
  live: Push | null,
  { push, indexDiffs }: Awaited<ReturnType<Deployment["start"]>>,
) {
  const known = new Set(
    live === null ? [] : instances(live.tree).map(({ componentPath }) => componentPath),
  );
  const created = instances(push.tree).filter(
    ({ componentPath }) => componentPath !== APP && !known.has(componentPath),
  );
  return {
    allocatedComponentIds: Object.fromEntries(
      created.map(({ componentPath }) => [componentPath, componentPath]),
    ),
    // finish_push gives these back: the app's tells which push it finishes.
    schemaIds: { [APP]: push.id },
    indexDiffs,
  };
}

function describeDefinition({ definition, schema, functions, serverVersion }: EvaluatedDefinition) {
  const { path, name, httpPrefix, childComponents, httpMounts, envVars } = definition;
  const isApp = path === APP;
  return {
    definition: {
      path,
      definitionType: isApp
        ? { type: "app", ...(httpPrefix === null ? {} : { httpPrefix }) }
        : { type: "childComponent", name, args: [] },
      // CLIs up to 1.38 refuse an answer without arguments, which no component has any more.
      childComponents: childComponents.map((each) => ({ ...each, args: [] })),
      httpMounts,
      exports: isApp ? definition.exports : functionExports(functions),
      ...(envVars.length > 0 ? { envVars } : {}),
    },
    schema,
    functions: Object.fromEntries(
      [...functions].map(([key, module]) => [key, describeModule(module)]),
    ),
    udfConfig: { serverVersion, importPhaseRngSeed: null, importPhaseUnixTimestamp: null },
  };
}

function describeModule({ functions, httpRoutes, crons }: AnalyzedModule) {
  const specs = (crons ?? []).map((cron: Cron) => [
    cron.name,
    { udfPath: cron.function, udfArgs: cron.args, cronSchedule: cron.schedule },
  ]);
  return {
    functions,
    httpRoutes: httpRoutes === null ? null : httpRoutes.map((route) => ({ route })),
    cronSpecs: crons === null ? null : Object.fromEntries(specs),
    sourceMapped: null,
  };
}

function checkedComponent(tree: ComponentTree, push: Push): object {
  const evaluated = push.definitions.get(tree.definitionPath);
  return {
    definitionPath: tree.definitionPath,
    componentPath: tree.componentPath,
    args: {},
    childComponents: Object.fromEntries(
      tree.children.map(([name, child]) => [name, checkedComponent(child, push)]),
    ),
    httpRoutes: {
      httpModuleRoutes: evaluated?.functions.get("http.js")?.httpRoutes ?? null,
      mounts: Object.keys(evaluated?.definition.httpMounts ?? {}),
    },
    exports: {},
  };
}
