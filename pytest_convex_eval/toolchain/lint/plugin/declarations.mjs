/**
 * The declarations at the top of a file, and what each of them does and uses: a part of its facts.
 *
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} File
 */

import { methodNode, outer, stringOf, unwrap, within } from "./shared/ast.mjs";
import { clockReadings } from "./shared/clock.mjs";
import { databaseCalls, partOf } from "./shared/context.mjs";
import { exportedNames, foreignCalls, registered, registrarOf } from "./shared/functions.mjs";
import { isParallel } from "./shared/loops.mjs";
import { querySteps, usesIndex } from "./shared/queries.mjs";
import { runs } from "./shared/references.mjs";
import { imported } from "./shared/scope.mjs";
import { MOST, place } from "./shared/telling.mjs";
import { streamedTables } from "./shared/unbounded.mjs";
import { assumedFindings } from "./assumed.mjs";

/** Packages whose functions tell who the user is. */
const AUTH_PACKAGES = /auth|clerk|descope|kinde|stytch|supertokens|workos/i;

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
export class Graph {
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
