/** System functions over what was pushed: schemas, functions, cron jobs, components. */

import { APP } from "../../push/definitions.ts";
import { indexConfigs, instances } from "../../push/diffs.ts";
import { definitionOf } from "../../running/targets.ts";
import { integer } from "../../values/values.ts";
import type { AnalyzedFunction, AnalyzedModule, Push } from "../../protocol.ts";
import type { Asked, SystemFunctions } from "../system_functions.ts";

const ANY = '{"type":"any"}';

export const CODE: SystemFunctions = {
  "frontend/getSchemas": (asked) => {
    const schema = schemaOf(asked);
    return schema === null ? {} : { active: JSON.stringify(schema) };
  },
  // Documents are checked during the push: nothing goes on afterwards.
  "frontend/getSchemas:schemaValidationProgress": () => null,
  "frontend/indexes": listIndexes,
  "frontend/listCronJobs": listCronJobs,
  "frontend/listCronJobRuns": () => [],
  "frontend/components:list": ({ deployment }) => listComponents(deployment.live),
  "frontend/listAuthProviders": ({ deployment }) => deployment.live?.auth ?? [],
  "frontend/modules:list": ({ deployment, component }) => listModules(deployment.live, component),
  "frontend/modules:listForAllComponents": ({ deployment }) =>
    (deployment.live === null ? [] : instances(deployment.live.tree)).map(({ componentPath }) => [
      componentPath === APP ? null : componentPath,
      listModules(deployment.live, componentPath),
    ]),
  "frontend/modules:argsValidator": ({ deployment, component, args }) => {
    const [path = "", name = "default"] = String(args.path).split(":");
    const module = definitionOf(deployment.live, component)?.definition.functions.get(
      `${path.replace(/\.js$/, "")}.js`,
    );
    const found = module?.functions.find((each) => each.name === name);
    return found === undefined ? null : (found.args ?? ANY);
  },
  "frontend/getVersion": ({ deployment }) =>
    deployment.live?.definitions.get(APP)?.serverVersion ?? null,
  "frontend/node:version": () => process.versions.node,
  "cli/modules:apiSpec": apiSpec,
};

function schemaOf({ deployment, component }: Asked) {
  return definitionOf(deployment.live, component)?.definition.schema ?? null;
}

function listIndexes(asked: Asked) {
  const { tableName, tableNamespace } = asked.args;
  const component = typeof tableNamespace === "string" ? tableNamespace : asked.component;
  const schema = schemaOf({ ...asked, component });
  return indexConfigs(schema)
    .filter(({ name }) => name.startsWith(`${tableName}.`))
    .map(({ name, staged = false, ...index }) => ({
      ...{
        table: tableName,
        name: name.slice(tableName.length + 1),
        staged,
        backfill: { state: "done" },
      },
      fields: fieldsOf(index),
    }));
}

function fieldsOf(
  index:
    | { type: "database"; fields: string[] }
    | { type: "search"; searchField: string; filterFields: string[] }
    | { type: "vector"; vectorField: string; dimensions: number; filterFields: string[] },
) {
  if (index.type === "database") return index.fields;
  const { type: _, ...rest } = index;
  return rest;
}

function listModules(push: Push | null, component: string) {
  const definition = definitionOf(push, component)?.definition;
  return [...(definition?.functions ?? [])].map(([path, module]) => [path, describeModule(module)]);
}

function describeModule({ functions, httpRoutes, crons }: AnalyzedModule) {
  const specs = (crons ?? []).map(({ name, function: udfPath, args: udfArgs, schedule }) => [
    name,
    { udfPath, udfArgs, cronSchedule: schedule },
  ]);
  return {
    functions: functions.map(describeFunction),
    httpRoutes: httpRoutes ?? null,
    cronSpecs: crons === null ? null : specs,
    ...{ creationTime: 0, sourcePackageId: null },
  };
}

function describeFunction({ name, udfType, visibility, args, returns, pos }: AnalyzedFunction) {
  return {
    ...{ name, udfType, visibility: visibility ?? { kind: "public" } },
    ...{ args: args ?? ANY, returns: returns ?? ANY, lineno: pos?.line ?? null },
  };
}

function apiSpec({ deployment, component }: Asked) {
  const modules = [...(definitionOf(deployment.live, component)?.definition.functions ?? [])];
  return modules.flatMap(([path, { functions, httpRoutes }]) => [
    ...functions.map((each) => ({
      identifier: `${path}:${each.name}`,
      functionType: each.udfType,
      visibility: each.visibility ?? { kind: "public" },
      args: JSON.parse(each.args ?? ANY),
      returns: JSON.parse(each.returns ?? ANY),
    })),
    ...(httpRoutes ?? []).map((route) => ({
      functionType: "HttpAction",
      method: route.method,
      path: route.path,
    })),
  ]);
}

function listCronJobs({ deployment, component }: Asked) {
  const timers = deployment.services.scheduler
    .crons()
    .filter((each) => each.component === component);
  return timers.map(({ cron, next }, i) => {
    const schedule = Object.entries(cron.schedule).map(([name, value]) => [
      name,
      typeof value === "number" ? integer(BigInt(value)) : value,
    ]);
    const udfArgs = { $bytes: Buffer.from(JSON.stringify(cron.args)).toString("base64") };
    const [path = "", function_ = "default"] = cron.function.split(":");
    const udfPath = `${path.replace(/\.js$/, "")}.js:${function_}`;
    const nextTs = next === null ? null : integer(BigInt(Math.round(next * 1e6)));
    const id = `cron-${i}`;
    return {
      ...{ _id: id, _creationTime: 0, name: cron.name },
      cronSpec: { udfPath, udfArgs, cronSchedule: Object.fromEntries(schedule) },
      lastRun: null,
      nextRun: { cronJobId: id, state: { type: "pending" }, prevTs: null, nextTs },
    };
  });
}

function listComponents(push: Push | null) {
  return (push === null ? [] : instances(push.tree)).map(({ componentPath, definitionPath }) => ({
    id: componentPath,
    name: push?.definitions.get(definitionPath)?.definition.name ?? null,
    path: componentPath,
    ...{ args: {}, state: "active", httpPrefix: httpPrefix(push, componentPath) },
  }));
}

/** Where the HTTP actions of a component are mounted. */
function httpPrefix(push: Push | null, component: string) {
  if (component === APP) return null;
  const at = component.lastIndexOf("/");
  const parent = definitionOf(push, at < 0 ? APP : component.slice(0, at));
  const mounts = Object.entries(parent?.definition.definition.httpMounts ?? {});
  return (
    mounts.find(([, reference]) => reference.split("/").at(-1) === component.slice(at + 1))?.[0] ??
    null
  );
}
