/**
 * The frame of a rule: one pass over a file that is read once for all rules.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").Context} Context
 * @typedef {import("./file.mjs").SourceFile} File
 * @typedef {(node: Node, data?: Record<string, string>, messageId?: string) => void} Report
 */

import { SourceFile } from "./file.mjs";

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
  return {
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
}
