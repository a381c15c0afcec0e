/**
 * The frame of a rule: one pass over a file that is read once for all rules.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").Context} Context
 * @typedef {import("./file.mjs").SourceFile} File
 * @typedef {{ node: Node, message: string }} Found
 * @typedef {(node: Node, data?: Record<string, string>, messageId?: string) => void} Report
 */

import { SourceFile } from "./file.mjs";

/** @type {WeakMap<object, (file: File) => Found[]>} */
const checks = new WeakMap();

const PAGES = "https://github.com/pytest-convex-eval/pytest-convex-eval/blob/main/docs/rules";

/**
 * @param {object} rule
 * @param {string} rule.name
 * @param {string} rule.description
 * @param {string | Record<string, string>} rule.message  One text, or several by id.
 * @param {(file: File, report: Report) => void} rule.check
 */
export function rule({ name, description, message, check }) {
  const messages = typeof message === "string" ? { found: message } : message;
  const made = {
    meta: {
      type: "problem",
      docs: { description, url: `${PAGES}/${name}.md` },
      messages,
      schema: [],
    },
    /** @param {Context} context */
    create(context) {
      const file = SourceFile.of(context);
      if (file.isSkipped) return {};
      return {
        Program() {
          check(file, (node, data = {}, messageId = Object.keys(messages)[0]) =>
            context.report({ node, messageId, data }),
          );
        },
      };
    },
  };
  checks.set(made, (file) => {
    /** @type {Found[]} */
    const found = [];
    check(file, (node, data = {}, messageId = Object.keys(messages)[0]) => {
      const text = messages[messageId].replace(/\{\{(\w+)\}\}/g, (_, name) => data[name]);
      found.push({ node, message: text });
    });
    return found;
  });
  return made;
}

/**
 * What a rule of ours says of a file, to nobody.
 * @param {object} made
 * @param {File} file
 */
export const findings = (made, file) => checks.get(made)?.(file) ?? [];
