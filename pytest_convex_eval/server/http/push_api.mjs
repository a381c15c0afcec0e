/**
 * The routes of a push, and their answers.
 * @import { AnalyzedModule, Cron, EvaluatedDefinition, Json, Push, ComponentTree } from "../protocol.d.ts"
 * @import { Deployment } from "../deployment.mjs"
 * @import { Answer, Request } from "./http.mjs"
 */

import { APP, functionExports } from "../push/definitions.mjs";
import { instances } from "../push/diffs.mjs";
import { BadRequest } from "../errors.mjs";
import { moduleHash } from "../push/modules.mjs";
import { idOf } from "../push/packages.mjs";
import { object, parsePush } from "../push/push_request.mjs";

/** What the CLI asks first: hashes of the live modules. @param {Deployment} deployment @returns {Answer} */
export function configHashes(deployment) {
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
 * @returns {Answer}
 */
export function evaluateSchema() {
  return { json: { componentSchemaEvaluations: {}, newComponentDefinitions: [] } };
}

/** @param {Deployment} deployment @param {Request} request @returns {Promise<Answer>} */
export async function evaluatePush(deployment, request) {
  const started = await deployment.start(parsePush(await request.json()));
  return { json: { schemaChange: schemaChange(deployment.live, started) } };
}

/** @param {Deployment} deployment @param {Request} request @returns {Promise<Answer>} */
export async function startPush(deployment, request) {
  const started = await deployment.start(parsePush(await request.json()));
  const { push } = started;
  return {
    json: {
      environmentVariables: push.env,
      externalDepsId: push.nodeDependencies.length === 0 ? null : idOf(push.nodeDependencies),
      componentDefinitionPackages: Object.fromEntries([...push.definitions.keys()].map((path) => [path, {}])),
      appAuth: push.auth,
      analysis: Object.fromEntries(
        [...push.definitions].map(([path, evaluated]) => [path, describeDefinition(evaluated)]),
      ),
      app: checkedComponent(push.tree, push),
      schemaChange: schemaChange(deployment.live, started),
    },
  };
}

/** Whether the documents that are there fit the new schema. @param {Deployment} deployment @param {Request} request @returns {Promise<Answer>} */
export async function waitForSchema(deployment, request) {
  const body = object(await request.json(), "the body");
  const found = await deployment.violation(pushId(body["schemaChange"] ?? null));
  if (found === "overtaken") return { json: { type: "raceDetected" } };
  if (found === null) return { json: { type: "complete" } };
  const { component, table, error } = found;
  return { json: { type: "failed", error, componentPath: component, tableName: table } };
}

/** @param {Json} schemaChange */
function pushId(schemaChange) {
  const id = object(object(schemaChange, "schemaChange")["schemaIds"] ?? null, "schemaIds")[APP];
  if (typeof id !== "string") throw new BadRequest("schemaChange names no push");
  return id;
}

/** @param {Deployment} deployment @param {Request} request @returns {Promise<Answer>} */
export async function finishPush(deployment, request) {
  const body = object(await request.json(), "the body");
  const id = pushId(object(body["startPush"] ?? null, "startPush")["schemaChange"] ?? null);
  return { json: await deployment.finish(id, { dryRun: body["dryRun"] === true }) };
}

/** @param {Push | null} live @param {Awaited<ReturnType<Deployment["start"]>>} started */
function schemaChange(live, { push, indexDiffs }) {
  const known = new Set(live === null ? [] : instances(live.tree).map(({ componentPath }) => componentPath));
  const created = instances(push.tree).filter(({ componentPath }) => componentPath !== APP && !known.has(componentPath));
  return {
    allocatedComponentIds: Object.fromEntries(created.map(({ componentPath }) => [componentPath, componentPath])),
    // finish_push gives these back: the app's tells which push it finishes.
    schemaIds: { [APP]: push.id },
    indexDiffs,
  };
}

/** @param {EvaluatedDefinition} evaluated */
function describeDefinition({ definition, schema, functions, serverVersion }) {
  const { path, name, httpPrefix, childComponents, httpMounts, envVars } = definition;
  const isApp = path === APP;
  return {
    definition: {
      path,
      definitionType: isApp
        ? { type: "app", ...(httpPrefix === null ? {} : { httpPrefix }) }
        : { type: "childComponent", name },
      childComponents,
      httpMounts,
      exports: isApp ? definition.exports : functionExports(functions),
      ...(envVars.length > 0 ? { envVars } : {}),
    },
    schema,
    functions: Object.fromEntries([...functions].map(([key, module]) => [key, describeModule(module)])),
    udfConfig: { serverVersion, importPhaseRngSeed: null, importPhaseUnixTimestamp: null },
  };
}

/** @param {AnalyzedModule} module */
function describeModule({ functions, httpRoutes, crons }) {
  const specs = (crons ?? []).map((/** @type {Cron} */ cron) => [
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

/** @param {ComponentTree} tree @param {Push} push @returns {object} */
function checkedComponent(tree, push) {
  const evaluated = push.definitions.get(tree.definitionPath);
  return {
    definitionPath: tree.definitionPath,
    componentPath: tree.componentPath,
    args: {},
    childComponents: Object.fromEntries(tree.children.map(([name, child]) => [name, checkedComponent(child, push)])),
    httpRoutes: {
      httpModuleRoutes: evaluated?.functions.get("http.js")?.httpRoutes ?? null,
      mounts: Object.keys(evaluated?.definition.httpMounts ?? {}),
    },
    exports: {},
  };
}

