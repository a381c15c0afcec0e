/**
 * What a file says that only matters next to other files, as one diagnostic whose message is JSON.
 *
 * `facts.py` reads it and `decide.py` decides; no person is shown it. Places are `[line, column]`
 * as ESTree counts them: the line from 1, the column in UTF-16 units from 0.
 *
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} File
 */

import { keyOf, methodNode, methodOf, stringOf, propertyValue } from "./shared/ast.mjs";
import { databaseCalls } from "./shared/context.mjs";
import { SourceFile } from "./shared/file.mjs";
import { exportsOf, hasDefaultExport, registered } from "./shared/functions.mjs";
import { idStrings, idUses } from "./shared/ids.mjs";
import { valueImports } from "./shared/imports.mjs";
import { querySteps } from "./shared/queries.mjs";
import { cronTables } from "./shared/references.mjs";
import { routerCalls } from "./shared/routes.mjs";
import { follow, imported, isImport, variableOf } from "./shared/scope.mjs";
import { holdsAny, shapeOf, shapeReturned } from "./shared/shapes.mjs";
import { tables, validatorOf } from "./shared/tables.mjs";
import { MOST, place } from "./shared/telling.mjs";
import { ASSUMED } from "./assumed.mjs";
import { Graph } from "./declarations.mjs";
import { isAllowedFilter } from "./no-query-filter.mjs";

const VERSION = 1;

export default {
  meta: { type: "problem", messages: {}, schema: [] },
  /** @param {import("./shared/file.mjs").Context} context */
  create(context) {
    return {
      Program() {
        const message = JSON.stringify(factsOf(SourceFile.of(context)));
        context.report({ loc: { line: 1, column: 0 }, message });
      },
    };
  },
};

/** @param {File} file */
function factsOf(file) {
  if (file.isSkipped) return { v: VERSION };
  // What a builder of another file makes is read too: which kind it is matters to nothing here.
  const whole = file.assuming(ASSUMED.mutation);
  const graph = new Graph(file, whole);
  return {
    v: VERSION,
    uses_node: file.usesNode,
    imports: valueImports(file)
      .slice(0, MOST)
      .map(({ from, node }) => ({ module: from, at: place(node) })),
    reexports: reexportsOf(file),
    declarations: graph.declarations().slice(0, MOST),
    tables: tables(file).slice(0, MOST).map(tableFacts(file)),
    id_strings: idStrings(file).slice(0, MOST),
    id_uses: idUses(file).slice(0, MOST),
    words: wordsOf(file),
    computed_indexes: file
      .nodes("CallExpression")
      .some(
        (call) => /^with(?:Search)?Index$/.test(methodOf(call) ?? "") && isComputed(file, call),
      ),
    routers: routerCalls(file).map(place),
    cron_tables: cronTables(file).map((call) => ({
      exported: exportsOf(file, call).includes("default"),
      at: place(call),
    })),
    own_of_component: ownOfComponent(file),
    auth_config: file.module === "auth.config" ? isAuthConfig(file) : null,
    allowed_filters: querySteps(whole)
      .filter((step) => step.name === "filter" && isAllowedFilter(whole, step))
      .map(({ call }) => place(methodNode(call))),
    any_returns: anyReturns(whole).slice(0, MOST),
    stored: storedFields(whole).slice(0, MOST),
  };
}

/** Validators of any for what is documents of one table. @param {File} file */
function anyReturns(file) {
  return registered(file).flatMap(({ options, handler }) => {
    const returns = options === null ? null : propertyValue(options, "returns");
    if (returns === null || handler === null || !holdsAny(file, returns)) return [];
    const { known, table } = shapeReturned(file, handler);
    return known && table !== null ? [{ table, at: place(returns) }] : [];
  });
}

/**
 * What is stored into fields of tables, and whether the code knows its shape.
 * @param {File} file
 */
function storedFields(file) {
  return databaseCalls(file).flatMap(({ method, call }) => {
    if (!/^(?:insert|patch|replace)$/.test(method)) return [];
    const last = call.arguments.at(-1);
    const document = last === undefined ? null : follow(file, last);
    const table = stringOf(call.arguments[0]);
    if (document?.type !== "ObjectExpression") return [{ table, field: null, known: false }];
    return document.properties.map((/** @type {Node} */ property) => {
      const shape = property.type === "Property" ? shapeOf(file, property.value) : null;
      const known = shape?.known === true && !shape.empty;
      return { table, field: keyOf(property), known };
    });
  });
}

/** @param {File} file */
function reexportsOf(file) {
  const found = [];
  for (const node of file.nodes("ExportAllDeclaration")) {
    if (node.exportKind !== "type")
      found.push({ module: node.source.value, name: "*", exported: node.exported?.name ?? "*" });
  }
  for (const node of file.nodes("ExportNamedDeclaration")) {
    if (node.exportKind === "type") continue;
    for (const { local, exported } of node.specifiers) {
      const as = exported.name ?? exported.value;
      if (node.source) {
        found.push({ module: node.source.value, name: local.name ?? local.value, exported: as });
        continue;
      }
      const definition = variableOf(file, local)?.defs[0];
      const source = definition?.type === "ImportBinding" ? imported(file, local) : null;
      if (source !== null)
        found.push({ module: source.from, name: source.path[0] ?? "*", exported: as });
    }
  }
  return found.slice(0, MOST);
}

/** @param {File} file */
const tableFacts = (file) => (/** @type {import("./shared/tables.mjs").Table} */ table) => ({
  name: table.name,
  at: place(table.call),
  fields: table.fields.map(({ name, value }) => {
    const validator = validatorOf(file, value);
    const table = validator?.name === "id" ? stringOf(validator.call.arguments[0]) : null;
    return { name, validator: validator?.name ?? null, table, at: place(value) };
  }),
  indexes: table.indexes.map(({ name, kind, staged, call }) => ({
    name,
    kind,
    staged,
    at: place(methodNode(call)),
  })),
});

/**
 * Strings that may name an index, wherever they are used; none of where indexes are defined.
 * @param {File} file
 */
function wordsOf(file) {
  if (tables(file).length > 0) return [];
  const words = file
    .nodes("Literal")
    .flatMap(({ value }) => (typeof value === "string" && /^\w{1,64}$/.test(value) ? [value] : []));
  return [...new Set(words)].slice(0, MOST);
}

/** @param {File} file @param {Node} call */
function isComputed(file, call) {
  const [name] = call.arguments;
  return name !== undefined && stringOf(follow(file, name)) === null;
}

/**
 * `schema` or `crons`, where this is the default export of a file that Convex would look for in a
 * component of this folder.
 * @param {File} file
 */
function ownOfComponent(file) {
  const name = /.\/(schema|crons)$/.exec(file.module)?.[1];
  const [node] = file.nodes("ExportDefaultDeclaration");
  const value = name === undefined || node === undefined ? null : follow(file, node.declaration);
  if (value?.type !== "CallExpression") return null;
  const maker = name === "schema" ? "defineSchema" : "cronJobs";
  if (!isImport(file, value.callee, "convex/server", maker)) return null;
  return { name, at: place(node.declaration) };
}

/** @param {File} file */
function isAuthConfig(file) {
  const [node] = file.nodes("ExportDefaultDeclaration");
  if (node === undefined) return hasDefaultExport(file);
  const config = follow(file, node.declaration);
  if (config.type !== "ObjectExpression") return true;
  const providers = propertyValue(config, "providers");
  const list = providers && follow(file, providers);
  return list !== null && (list.type !== "ArrayExpression" || list.elements.length > 0);
}
