/**
 * What a file says that only matters next to other files, as one diagnostic whose message is JSON.
 *
 * `facts.py` reads it and `decide.py` decides; no person is shown it. Places are `[line, column]`
 * as ESTree counts them: the line from 1, the column in UTF-16 units from 0. A list that would grow
 * without measure is cut: what is not told is not judged.
 *
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} File
 */

import {
  keyOf,
  methodNode,
  methodOf,
  outer,
  stringOf,
  unwrap,
  valueOf,
  within,
} from "./shared/ast.mjs";
import { clockReadings } from "./shared/clock.mjs";
import { databaseCalls, partOf } from "./shared/context.mjs";
import { SourceFile } from "./shared/file.mjs";
import {
  exportedNames,
  exportsOf,
  foreignCalls,
  hasDefaultExport,
  registered,
  registrarOf,
} from "./shared/functions.mjs";
import { valueImports } from "./shared/imports.mjs";
import { isParallel } from "./shared/loops.mjs";
import { querySteps, usesIndex } from "./shared/queries.mjs";
import { cronTables, runs } from "./shared/references.mjs";
import { routerCalls } from "./shared/routes.mjs";
import { follow, imported, isImport, variableOf } from "./shared/scope.mjs";
import { holdsAny, shapeOf, shapeReturned } from "./shared/shapes.mjs";
import { tables, validatorOf } from "./shared/tables.mjs";
import { streamedTables } from "./shared/unbounded.mjs";
import { ASSUMED, assumedFindings } from "./assumed.mjs";
import { isAllowedFilter } from "./no-query-filter.mjs";

const VERSION = 1;
const MOST = 1000;

/** Packages whose functions tell who the user is. */
const AUTH_PACKAGES = /auth|clerk|descope|kinde|stytch|supertokens|workos/i;

/** @param {Node} node @returns {[number, number]} */
const place = ({ loc }) => [loc.start.line, loc.start.column];

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
    const returns = options === null ? null : valueOf(options, "returns");
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
      const known = shape !== null && shape.known && !shape.empty;
      return { table, field: keyOf(property), known };
    });
  });
}

/** @typedef {{ node: Node, names: string[], init: Node | null }} Declared */

/**
 * A declaration of which nothing is known yet.
 * @param {Declared} declared
 */
const undecided = (declared) => ({
  ...declared,
  refs: new Set(),
  auth: false,
  identity: /** @type {[number, number] | null} */ (null),
  clock: /** @type {[number, number][]} */ ([]),
  touches: new Set(),
  runs: /** @type {object[]} */ ([]),
  collects: /** @type {[number, number][]} */ ([]),
});

/**
 * The declarations at the top of a file, and what each of them uses. What stands outside of all of
 * them (crons, routes) belongs to one without a name.
 */
class Graph {
  /**
   * @param {File} file
   * @param {File} whole  The file with what builders of other files may make.
   */
  constructor(file, whole) {
    this.file = file;
    this.whole = whole;
    this.assumed = assumedFindings(file);
    /** In source order, as they follow each other. */
    this.found = declared(file).map(undecided);
    this.rest = undecided({ node: file.ast, names: [], init: null });
    this.functions = new Map(registered(file).map(({ call, registrar }) => [call, registrar]));
  }

  /**
   * The declaration that a node stands in.
   * @param {Node} node
   */
  #owner(node) {
    let [low, high] = [0, this.found.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.found[middle].node.range[1] <= node.range[0]) low = middle + 1;
      else high = middle;
    }
    const found = this.found[low];
    return found !== undefined && within(node, found.node) ? found : this.rest;
  }

  /** @param {Node} node */
  #asks(node) {
    const owner = this.#owner(node);
    owner.auth = true;
    owner.identity ??= place(node);
  }

  declarations() {
    const { file, whole } = this;
    this.#references();
    for (const node of file.nodes("MemberExpression")) {
      const path = partOf(whole, node)?.path ?? [];
      // By its name too: a context that a builder or a class hands on is not seen as one.
      const asked = unwrap(node).property.name === "getUserIdentity";
      if (path[0] === "auth" || asked) this.#asks(node);
    }
    for (const node of file.nodes("CallExpression")) {
      if (partOf(whole, node.callee)?.path[0] === "auth") this.#asks(node);
    }
    for (const node of clockReadings(file)) this.#owner(node).clock.push(place(node));
    for (const { method, call } of databaseCalls(whole)) {
      if (!/^(?:query|get|insert|patch|replace|delete)$/.test(method)) continue;
      const write = method !== "query" && method !== "get";
      const table = stringOf(call.arguments[0]);
      this.#owner(call).touches.add(JSON.stringify([table, write]));
    }
    for (const { via, call, target, reference } of runs(whole)) {
      this.#owner(call).runs.push({
        via,
        root: reference?.root ?? null,
        path: reference?.path ?? [],
        parallel: isParallel(whole, call),
        at: place(target),
      });
    }
    for (const { name, call, query } of querySteps(whole)) {
      if (name === "collect" && !usesIndex(query))
        this.#owner(call).collects.push(place(methodNode(call)));
    }
    for (const node of streamedTables(whole)) this.#owner(node).collects.push(place(node));
    return [...this.found, this.rest].map((d) => ({
      names: d.names,
      exports: d.names.flatMap((name) =>
        name === "default" ? ["default"] : (exportedNames(file).get(name) ?? []),
      ),
      at: place(d.node),
      function: this.#registered(d.init),
      builder: this.#builder(d.init),
      assumed: this.#assumed(d.init),
      refs: [...d.refs].slice(0, MOST).map((ref) => JSON.parse(ref)),
      auth: d.auth,
      identity: d.identity,
      clock: d.clock.slice(0, MOST),
      touches: [...d.touches].slice(0, MOST).map((touch) => JSON.parse(touch)),
      runs: d.runs.slice(0, MOST),
      collects: d.collects.slice(0, MOST),
    }));
  }

  #references() {
    const { file } = this;
    const global = file.sourceCode.getScope(file.ast);
    const scope = global.childScopes.find(({ type }) => type === "module") ?? global;
    for (const variable of scope.variables) {
      const [definition] = variable.defs;
      for (const { identifier, isValueReference } of variable.references) {
        if (isValueReference === false || definition === undefined) continue;
        // An export uses nothing.
        if (/^Export(?:Specifier|DefaultDeclaration)$/.test(identifier.parent.type)) continue;
        const owner = this.#owner(identifier);
        if (definition.type !== "ImportBinding") {
          if (!owner.names.includes(variable.name))
            owner.refs.add(JSON.stringify([null, variable.name]));
          continue;
        }
        const member = outer(identifier).parent;
        const used = member.type === "MemberExpression" ? imported(file, member) : null;
        const found = used ?? imported(file, identifier);
        if (found === null) continue;
        owner.refs.add(JSON.stringify([found.from, found.path[0] ?? "*"]));
        if (!found.from.startsWith(".") && AUTH_PACKAGES.test(found.from)) owner.auth = true;
      }
    }
  }

  /** @param {Node | null} init */
  #registered(init) {
    const found = init === null ? undefined : this.functions.get(unwrap(init));
    if (found === undefined) return null;
    return { kind: found.kind, public: found.isPublic, http: found.isHttp };
  }

  /**
   * What there is to say of a declaration if a builder of another file makes it.
   * @param {Node | null} init
   */
  #assumed(init) {
    const found = init === null ? undefined : this.assumed.get(unwrap(init));
    return (found ?? []).slice(0, MOST).map(({ node, ...told }) => ({ ...told, at: place(node) }));
  }

  /**
   * What a declaration is made by, when that may be a builder of another file, or is a builder.
   * @param {Node | null} init
   */
  #builder(init) {
    const call = init && unwrap(init);
    if (call?.type !== "CallExpression") return null;
    const made = registrarOf(this.file, call);
    if (made !== null && made.builder === call) {
      return { makes: { kind: made.kind, public: made.isPublic, http: made.isHttp }, by: null };
    }
    const by = foreignCalls(this.file).get(call);
    return by === undefined ? null : { makes: null, by };
  }
}

/** @param {File} file @returns {Declared[]} */
function declared(file) {
  return file.ast.body.flatMap((/** @type {Node} */ statement) => {
    const node = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (node?.type === "VariableDeclaration") {
      return node.declarations.map((/** @type {Node} */ d) => ({
        node: d,
        names: namesIn(d.id),
        init: d.init,
      }));
    }
    if (node?.type === "FunctionDeclaration" || node?.type === "ClassDeclaration") {
      return [{ node, names: [node.id.name], init: null }];
    }
    if (node?.type === "ExportDefaultDeclaration") {
      const { declaration } = node;
      // A name that is exported so is declared elsewhere.
      if (declaration.type === "Identifier") return [];
      const names = declaration.id ? [declaration.id.name] : ["default"];
      return [{ node, names, init: declaration.type.endsWith("Declaration") ? null : declaration }];
    }
    return [];
  });
}

/** @param {Node} pattern @returns {string[]} */
function namesIn(pattern) {
  if (pattern.type === "Identifier") return [pattern.name];
  if (pattern.type !== "ObjectPattern") return [];
  return pattern.properties.flatMap((/** @type {Node} */ property) =>
    property.value?.type === "Identifier" ? [property.value.name] : [],
  );
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

/** Fields named as ids are and validated as strings. @param {File} file */
function idStrings(file) {
  return file.nodes("Property").flatMap((property) => {
    const stem = /^(.+?)(?:Id|_id)s?$/.exec(keyOf(property) ?? "")?.[1];
    if (stem === undefined || property.parent.type !== "ObjectExpression") return [];
    let validator = validatorOf(file, property.value);
    if (validator?.name === "array" && validator.call.arguments[0]) {
      validator = validatorOf(file, validator.call.arguments[0]);
    }
    return validator?.name === "string" ? [{ stem, at: place(property.value) }] : [];
  });
}

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
  const providers = valueOf(config, "providers");
  const list = providers && follow(file, providers);
  return list !== null && (list.type !== "ArrayExpression" || list.elements.length > 0);
}
