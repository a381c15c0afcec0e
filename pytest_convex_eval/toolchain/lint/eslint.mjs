/**
 * Lints workspaces with ESLint, typescript-eslint and Convex's plugin as published.
 *
 * A request a line on stdin, an answer a line on stdout, both JSON. Code that overflows the stack
 * is told by path, since the error's class says whose fault it is; any other error ends the program.
 *
 * @typedef {{ root: string, paths: string[], rules: Record<string, unknown> }} Request
 * @typedef {{ path: string, rule: string, messageId: string | null, message: string, line: number,
 *   column: number }} Said  The column in UTF-16 units from 1.
 * @typedef {{ said: Said[], unparsable: string[], tooDeep: string[] }} Answer
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { withoutSuppressionAdvice } from "./shim.mjs";

const [folder, ourPlugin] = process.argv.slice(2);
const require = createRequire(path.join(folder, "from-here.js"));
const ts = require("typescript");
const { Linter } = require("eslint");
const parser = require("@typescript-eslint/parser");
const typescriptPlugin = require("@typescript-eslint/eslint-plugin");
const convexPlugin = await plugin(require.resolve("@convex-dev/eslint-plugin"));
const ours = await plugin(ourPlugin);

/** @param {string} file */
async function plugin(file) {
  const module = await import(pathToFileURL(file).href);
  return module.default.default ?? module.default;
}

/** What lies outside of a workspace is the same in all of them. @type {Map<string, unknown>} */
const shared = new Map();

/**
 * A program over the files to lint and what they use, with the workspace's own configuration.
 * @param {Request} request
 */
function programOf({ root, paths }) {
  const config = ts.getParsedCommandLineOfConfigFile(
    path.join(root, "convex", "tsconfig.json"),
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: fail },
  );
  const host = ts.createCompilerHost(config.options, true);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (/** @type {string} */ name, /** @type {unknown[]} */ ...rest) => {
    if (name.startsWith(`${root}/`)) return read(name, ...rest);
    if (!shared.has(name)) shared.set(name, read(name, ...rest));
    return shared.get(name);
  };
  const files = paths.map((file) => path.join(root, file));
  const rootNames = [...new Set([...config.fileNames, ...files])];
  return ts.createProgram({ rootNames, options: config.options, host });
}

/** @param {{ messageText: unknown }} diagnostic */
function fail({ messageText }) {
  throw new Error(`the configuration can't be read: ${JSON.stringify(messageText)}`);
}

/** @param {Request} request @returns {Answer} */
function lint(request) {
  const { root, paths, rules } = request;
  /** @type {Answer} */
  const answer = { said: [], unparsable: [], tooDeep: [] };
  const linter = new Linter({ configType: "flat", cwd: root });
  const config = {
    files: ["**/*.{ts,tsx,mts,cts,js,jsx,mjs,cjs}"],
    languageOptions: {
      parser,
      sourceType: "module",
      parserOptions: { programs: [programOf(request)] },
    },
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: "off" },
    plugins: {
      "@typescript-eslint": typescriptPlugin,
      "@convex-dev": convexPlugin,
      "convex-eval": ours,
    },
    rules,
  };
  for (const file of paths) {
    const filename = path.join(root, file);
    try {
      for (const said of linter.verify(readFileSync(filename, "utf8"), [config], { filename })) {
        if (said.fatal) answer.unparsable.push(file);
        else answer.said.push(told(file, said));
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      answer.tooDeep.push(file);
    }
  }
  parser.clearCaches();
  return answer;
}

/** @param {string} file @param {Record<string, any>} said @returns {Said} */
function told(file, { ruleId, messageId, message, line, column }) {
  const text = ruleId.startsWith("@convex-dev/") ? withoutSuppressionAdvice(message) : message;
  return { path: file, rule: ruleId, messageId: messageId ?? null, message: text, line, column };
}

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {Request} */
  const request = JSON.parse(line);
  /** @type {Answer} */
  let answer;
  try {
    answer = lint(request);
  } catch (error) {
    // Before any file was looked at: the program of all of them.
    if (!(error instanceof RangeError)) throw error;
    answer = { said: [], unparsable: [], tooDeep: request.paths };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
