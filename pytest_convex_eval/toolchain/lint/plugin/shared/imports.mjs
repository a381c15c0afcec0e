/**
 * What a file loads when it runs, types left out.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {{ from: string, node: Node, isDynamic: boolean }} ValueImport
 */

import { stringOf, unwrap } from "./ast.mjs";
import { isGlobal, variableOf } from "./scope.mjs";

/** @param {SourceFile} file @returns {ValueImport[]} */
function findImports(file) {
  /** @type {ValueImport[]} */
  const found = [];
  for (const node of file.nodes("ImportDeclaration")) {
    if (node.importKind === "type" || !isKept(file, node)) continue;
    found.push({ from: node.source.value, node, isDynamic: false });
  }
  for (const node of file.nodes("ExportNamedDeclaration", "ExportAllDeclaration")) {
    if (!node.source || node.exportKind === "type") continue;
    const { specifiers } = node;
    if (
      specifiers?.length > 0 &&
      specifiers.every((/** @type {Node} */ s) => s.exportKind === "type")
    )
      continue;
    found.push({ from: node.source.value, node, isDynamic: false });
  }
  for (const node of file.nodes("ImportExpression")) {
    const from = stringOf(node.source);
    if (from !== null) found.push({ from, node, isDynamic: true });
  }
  for (const node of file.nodes("CallExpression")) {
    const [argument] = node.arguments;
    const from = isGlobal(file, unwrap(node.callee), "require") ? stringOf(argument) : null;
    if (from !== null) found.push({ from, node, isDynamic: true });
  }
  return found;
}

/** What a file loads when it runs. @param {SourceFile} file */
export const valueImports = (file) => file.derived(findImports);

/**
 * A bundler drops an import of TypeScript that no value of the file uses.
 * @param {SourceFile} file
 * @param {Node} node
 */
function isKept(file, node) {
  if (node.specifiers.length === 0) return true;
  return node.specifiers.some((/** @type {Node} */ specifier) => {
    if (specifier.importKind === "type") return false;
    const references = variableOf(file, specifier.local)?.references ?? [];
    return references.some((r) => r.isValueReference !== false);
  });
}
