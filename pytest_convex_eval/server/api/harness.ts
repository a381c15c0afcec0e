/** What our own harness asks (`/api/convex_eval/*`): the live deployment in plain data. */

import { APP } from "../push/definitions.ts";
import { instances } from "../push/diffs.ts";
import type { AnalyzedFunction, Push, Table } from "../protocol.ts";

const ANY = { type: "any" };

export function describeDeployed(push: Push | null) {
  const app = push?.definitions.get(APP);
  const modules = [...(app?.functions ?? [])];
  return {
    tables: (app?.schema?.tables ?? []).map(describeTable),
    has_schema: app?.schema != null,
    schema_validation: app?.schema?.schemaValidation ?? false,
    functions: modules.flatMap(([path, module]) =>
      module.functions.map((each) => describeFunction(path.replace(/\.js$/, ""), each)),
    ),
    crons: modules.flatMap(([, module]) =>
      (module.crons ?? []).map((cron) => ({ ...cron, function: functionPath(cron.function) })),
    ),
    routes: modules.flatMap(([, module]) =>
      (module.httpRoutes ?? []).map(({ path, method }) =>
        path.endsWith("*")
          ? { method, path: null, path_prefix: path.slice(0, -1) }
          : { method, path, path_prefix: null },
      ),
    ),
    auth: push?.auth ?? [],
    components: (push === null ? [] : instances(push.tree))
      .filter(({ componentPath }) => componentPath !== APP)
      .map(({ componentPath, definitionPath }) => ({
        path: componentPath,
        name: push?.definitions.get(definitionPath)?.definition.name ?? null,
      })),
    files: [...(push?.modules.keys() ?? [])],
  };
}

/** `mod:fn` of a function as a cron names it. */
function functionPath(name: string) {
  const [path = "", export_ = "default"] = name.split(":");
  return `${path.replace(/\.js$/, "")}:${export_}`;
}

function describeTable(table: Table) {
  const { documentType } = table;
  const withoutAppended = (index: { indexDescriptor: string; fields: string[] }) => ({
    name: index.indexDescriptor,
    fields: index.fields.slice(0, -1),
  });
  return {
    name: table.tableName,
    document: documentType,
    indexes: [
      ...table.indexes.map((index) => ({ ...withoutAppended(index), staged: false })),
      ...table.stagedDbIndexes.map((index) => ({ ...withoutAppended(index), staged: true })),
    ],
    search_indexes: [...table.searchIndexes, ...table.stagedSearchIndexes].map(
      ({ indexDescriptor: name, searchField, filterFields }) => ({
        name,
        search_field: searchField,
        filter_fields: filterFields,
      }),
    ),
    vector_indexes: [...table.vectorIndexes, ...table.stagedVectorIndexes].map(
      ({ indexDescriptor: name, vectorField, dimensions, filterFields }) => ({
        name,
        vector_field: vectorField,
        dimensions,
        filter_fields: filterFields,
      }),
    ),
  };
}

function describeFunction(module: string, each: AnalyzedFunction) {
  return {
    path: `${module}:${each.name}`,
    kind: each.udfType.toLowerCase(),
    // A function of a library too old to say is callable by everybody.
    visibility: each.visibility?.kind ?? "public",
    args: each.args === null ? ANY : JSON.parse(each.args),
    returns: each.returns === null ? null : JSON.parse(each.returns),
    position: each.pos,
  };
}
