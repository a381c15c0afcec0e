/**
 * The functions that a file registers with Convex, by where their registrar is imported from.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {"query" | "mutation" | "action"} Kind
 * @typedef {{ kind: Kind, isPublic: boolean, isHttp: boolean, builder: Node | null }} Registrar
 *   `builder` is the call that made a custom builder of it.
 * @typedef {{ call: Node, registrar: Registrar, options: Node | null, handler: Node | null,
 *   takesFunction: boolean, exports: string[] }} Registered
 *   `takesFunction`: it was given its handler, and not an object that holds one.
 */

import { outer, unwrap, propertyValue } from "./ast.mjs";
import { follow, functionOf, imported } from "./scope.mjs";

const GENERATED_SERVER = /(?:^|\/)_generated\/server(?:\.[cm]?[jt]s)?$/;

/** @type {Record<string, [Kind, boolean, boolean]>} */
const REGISTRARS = {
  query: ["query", true, false],
  mutation: ["mutation", true, false],
  action: ["action", true, false],
  internalQuery: ["query", false, false],
  internalMutation: ["mutation", false, false],
  internalAction: ["action", false, false],
  httpAction: ["action", true, true],
};

/**
 * What an expression registers when it is called; null for what is no registrar. A custom builder
 * (`customQuery(query, ...)`) made in the same file registers what it wraps.
 * @param {SourceFile} file @param {Node} callee @returns {Registrar | null}
 */
export function registrarOf(file, callee) {
  const plain = plainRegistrar(file, callee);
  if (plain !== null) return plain;
  const target = follow(file, callee);
  if (target.type !== "CallExpression" || target.arguments.length === 0) return null;
  if (plainRegistrar(file, target.callee) !== null) return null;
  const wrapped = plainRegistrar(file, target.arguments[0]);
  return wrapped && { ...wrapped, builder: target };
}

/** @param {SourceFile} file @param {Node} node @returns {Registrar | null} */
function plainRegistrar(file, node) {
  const found = imported(file, node);
  if (found === null || found.path.length !== 1) return null;
  let [name] = found.path;
  if (found.from === "convex/server") {
    if (!name.endsWith("Generic")) return null;
    name = name.slice(0, -"Generic".length);
  } else if (!GENERATED_SERVER.test(found.from)) {
    return null;
  }
  if (!Object.hasOwn(REGISTRARS, name)) return null;
  const [kind, isPublic, isHttp] = REGISTRARS[name];
  return { kind, isPublic, isHttp, builder: null };
}

/**
 * @param {SourceFile} file @returns {Map<Node, [string, string]>}
 */
function findForeign(file) {
  const values = file.ast.body.flatMap((/** @type {Node} */ statement) => {
    const { type, declaration } = statement;
    if (type === "ExportDefaultDeclaration") return [declaration];
    const node = type === "ExportNamedDeclaration" ? declaration : statement;
    return node?.declarations?.map((/** @type {Node} */ d) => d.init) ?? [];
  });
  const found = new Map();
  for (const value of values) {
    const call = value && unwrap(value);
    if (call?.type !== "CallExpression" || registrarOf(file, call.callee) !== null) continue;
    const by = imported(file, call.callee);
    if (by === null || !by.from.startsWith(".")) continue;
    const { options, handler } = argumentOf(file, call);
    if (handler !== null || (options !== null && propertyValue(options, "handler") !== null)) {
      found.set(call, [by.from, by.path[0] ?? "*"]);
    }
  }
  return found;
}

/**
 * The calls at the top of a file that are given a handler by which a builder of another file may
 * make a function, and the module and name of each builder. Only over all files is it known.
 * @param {SourceFile} file
 */
export const foreignCalls = (file) => file.derived(findForeign);

/** @param {SourceFile} file @param {Node} call */
function assumedRegistrar(file, call) {
  return file.assumed !== null && foreignCalls(file).has(call) ? file.assumed : null;
}

/** @param {SourceFile} file @returns {Registered[]} */
function findRegistered(file) {
  const found = [];
  for (const call of file.nodes("CallExpression")) {
    const registrar = registrarOf(file, call.callee) ?? assumedRegistrar(file, call);
    if (registrar === null) continue;
    found.push({ call, registrar, ...argumentOf(file, call), exports: exportsOf(file, call) });
  }
  return found;
}

/** @param {SourceFile} file @param {Node} call */
function argumentOf(file, call) {
  const [argument] = call.arguments;
  const none = { options: null, handler: null, takesFunction: false };
  if (argument === undefined || argument.type === "SpreadElement") return none;
  const direct = functionOf(file, argument);
  if (direct !== null) return { options: null, handler: direct, takesFunction: true };
  const options = follow(file, argument);
  if (options.type !== "ObjectExpression") return none;
  return {
    options,
    handler: functionOf(file, propertyValue(options, "handler")),
    takesFunction: false,
  };
}

/** The functions that `file` registers. @param {SourceFile} file */
export const registered = (file) => file.derived(findRegistered);

/** @param {SourceFile} file @returns {Map<string, string[]>} */
function findExports(file) {
  /** @type {Map<string, string[]>} */
  const names = new Map();
  const add = (/** @type {string} */ local, /** @type {string} */ name) =>
    names.set(local, [...(names.get(local) ?? []), name]);
  for (const statement of file.nodes("ExportNamedDeclaration")) {
    if (statement.source) continue;
    for (const { local, exported } of statement.specifiers) {
      add(local.name ?? local.value, exported.name ?? exported.value);
    }
    const { declaration } = statement;
    for (const { id } of declaration?.declarations ?? (declaration?.id ? [declaration] : [])) {
      if (id?.type === "Identifier") add(id.name, id.name);
    }
  }
  for (const { declaration } of file.nodes("ExportDefaultDeclaration")) {
    if (declaration.type === "Identifier") add(declaration.name, "default");
    else if (declaration.id) add(declaration.id.name, "default");
  }
  return names;
}

/** The names under which each local name is exported. @param {SourceFile} file */
export const exportedNames = (file) => file.derived(findExports);

/**
 * The names under which the value of an expression is exported.
 * @param {SourceFile} file @param {Node} expression @returns {string[]}
 */
export function exportsOf(file, expression) {
  const { parent } = outer(expression);
  if (parent.type === "ExportDefaultDeclaration") return ["default"];
  if (parent.type !== "VariableDeclarator" || parent.id.type !== "Identifier") return [];
  const top = ["ExportNamedDeclaration", "Program"].includes(parent.parent.parent.type);
  return top ? (exportedNames(file).get(parent.id.name) ?? []) : [];
}

/** Whether a file has a default export, in whatever form. @param {SourceFile} file */
export function hasDefaultExport(file) {
  if (file.nodes("ExportDefaultDeclaration").length > 0) return true;
  return file
    .nodes("ExportNamedDeclaration")
    .some(({ specifiers }) =>
      specifiers.some(
        (/** @type {Node} */ s) => (s.exported.name ?? s.exported.value) === "default",
      ),
    );
}
