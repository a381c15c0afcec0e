/**
 * oxlint, loaded once: it lints one workspace after another, and says of each what its command line says.
 *
 *     node oxlint_server.mjs PATH/TO/oxlint/dist
 *
 * Reads a line of JSON a workspace from stdin, `{"cwd": PATH, "args": [...], "mark": TEXT}`. What oxlint prints
 * of it goes to stdout (it writes there itself), and then the mark on a line of its own. Ends with its stdin.
 *
 * What is used of oxlint is what its own `cli.js` uses, which is no public interface: the version is pinned, and
 * where this has no answer the command line is asked instead.
 *
 * @import { Interface } from "node:readline"
 */

import { writeSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const STDOUT = 1;

/** @typedef {{ cwd: string, args: string[], mark: string }} Request */
/** @typedef {(path: string, ...rest: unknown[]) => Promise<string>} LoadPlugin */

const dist = process.argv[2] ?? "";
const load = (/** @type {string} */ name) => import(pathToFileURL(path.join(dist, name)).href);
const [bindings, { loadPlugin, setupRuleConfigs, lintFile }, { createWorkspace }] =
  await Promise.all([load("bindings.js"), load("plugins.js"), load("workspace.js")]);
const lint = Object.values(bindings).find((value) => value.name === "lint");

/** A plugin stays registered in this process, and may be registered once. @type {Map<string, Promise<string>>} */
const loaded = new Map();

/** @type {LoadPlugin} */
function loadOnce(file, ...rest) {
  const known = loaded.get(file) ?? loadPlugin(file, ...rest);
  loaded.set(file, known);
  return known;
}

/** Asked for also where no editor is. @param {unknown} workspace */
async function openWorkspace(workspace) {
  createWorkspace(workspace);
}

/** Of an editor that closes a folder, and of configuration in JavaScript. @returns {never} */
function unexpected() {
  throw new Error("oxlint asks for what a plain lint does not need");
}

/** @type {Interface} */
const requests = createInterface({ input: process.stdin });
for await (const line of requests) {
  /** @type {Request} */
  const { cwd, args, mark } = JSON.parse(line);
  process.chdir(cwd);
  await lint(args, loadOnce, setupRuleConfigs, lintFile, openWorkspace, unexpected, unexpected);
  writeSync(STDOUT, `\n${mark}\n`);
}
