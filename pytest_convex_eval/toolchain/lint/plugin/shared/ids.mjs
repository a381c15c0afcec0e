/**
 * Fields that are named as ids are, and where values of such names go.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 */

import { keyOf, memberName, methodOf, stringOf, unwrap } from "./ast.mjs";
import { databaseCalls } from "./context.mjs";
import { follow } from "./scope.mjs";
import { validatorOf } from "./tables.mjs";
import { place } from "./telling.mjs";

const NAMED = /^(.+?)(?:Id|_id)s?$/;
const OF_A_DOCUMENT = /^(?:get|normalizeId|patch|replace|delete)$/;
const STORES = /^(?:insert|patch|replace)$/;

/**
 * Fields named as ids are and validated as strings. Of a table, a field is used wherever documents
 * are; an argument is where its function is, since others have arguments of the same name.
 * @param {SourceFile} file
 */
export function idStrings(file) {
  const uses = findUses(file);
  return file.nodes("Property").flatMap((property) => {
    const stem = NAMED.exec(keyOf(property) ?? "")?.[1];
    if (stem === undefined || property.parent.type !== "ObjectExpression") return [];
    let validator = validatorOf(file, property.value);
    if (validator?.name === "array" && validator.call.arguments[0]) {
      validator = validatorOf(file, validator.call.arguments[0]);
    }
    if (validator?.name !== "string") return [];
    const statement = statementOf(property);
    const own = uses.filter((use) => use.stem === stem && statementOf(use.node) === statement);
    return [
      {
        stem,
        at: place(property.value),
        in_table: isInTable(property),
        uses: [...new Set(own.map(({ field }) => field))],
      },
    ];
  });
}

/** The statement of the file that a node is in. @param {Node} node */
function statementOf(node) {
  let at = node;
  while (at.parent && at.parent.type !== "Program") at = at.parent;
  return at;
}

/** @param {Node} node */
function isInTable(node) {
  for (let at = node.parent; at; at = at.parent) {
    if (at.type === "CallExpression" && at.callee.name === "defineTable") return true;
  }
  return false;
}

/** Where fields of documents that are named as ids are go. @param {SourceFile} file */
export function idUses(file) {
  return findUses(file)
    .filter(({ node }) => {
      const bare = unwrap(node);
      return bare.type === "MemberExpression" && unwrap(bare.object).name !== "args";
    })
    .map(({ stem, field }) => ({ stem, field }));
}

/** `user` of `userId`, `args.userId`, `post.user_id as Id<"users">`. @param {Node} node */
function stemOf(node) {
  const bare = unwrap(node);
  const name = bare.type === "MemberExpression" ? memberName(bare) : bare.name;
  return typeof name === "string" ? (NAMED.exec(name)?.[1] ?? null) : null;
}

/**
 * Where values named as ids are go: to the database as a document's id (`field` is null), as the
 * value of a field that is stored or compared, or into a type `Id`.
 * @param {SourceFile} file
 */
function findUses(file) {
  /** @type {{ stem: string, field: string | null, node: Node }[]} */
  const found = [];
  /** @param {Node | undefined} node @param {string | null} field */
  const add = (node, field) => {
    const stem = node === undefined ? null : stemOf(node);
    if (node !== undefined && stem !== null) found.push({ stem, field, node });
  };
  for (const { method, call } of databaseCalls(file)) {
    if (OF_A_DOCUMENT.test(method)) {
      for (const argument of call.arguments.slice(0, 2)) add(argument, null);
    }
    const last = STORES.test(method) ? call.arguments.at(-1) : undefined;
    const document = last === undefined ? null : follow(file, last);
    if (document?.type !== "ObjectExpression") continue;
    for (const property of document.properties) {
      if (property.value) add(property.value, keyOf(property));
    }
  }
  for (const call of file.nodes("CallExpression")) {
    if (methodOf(call) !== "eq" || call.arguments.length !== 2) continue;
    const compared = unwrap(call.arguments[0]);
    const isField = compared.type === "CallExpression" && methodOf(compared) === "field";
    const field = stringOf(isField ? compared.arguments[0] : compared);
    if (field !== null) add(call.arguments[1], field);
  }
  for (const cast of file.nodes("TSAsExpression")) {
    if (cast.typeAnnotation.typeName?.name === "Id") add(cast.expression, null);
  }
  return found;
}
