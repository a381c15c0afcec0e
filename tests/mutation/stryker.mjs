/**
 * Prints the mutants of the files whose paths are given as JSON on stdin, as JSON: Stryker's operators alone.
 *
 *     node stryker.mjs NODE_MODULES
 */

import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const home = path.join(
  process.argv[2] ?? "",
  "@stryker-mutator",
  "instrumenter",
  "dist",
  "src",
  "index.js",
);
const { Instrumenter } = await import(pathToFileURL(home).href);

const quiet = { isDebugEnabled: () => false, debug() {}, info() {}, warn() {}, error() {} };
/** @type {string[]} */
const files = JSON.parse(readFileSync(0, "utf8"));
const found = [];
for (const file of files) {
  const content = readFileSync(file, "utf8");
  const instrumenter = new Instrumenter(quiet);
  const { mutants } = await instrumenter.instrument([{ name: file, content, mutate: true }], {
    excludedMutations: [],
    ignorers: [],
    plugins: null,
  });
  for (const { location, replacement } of mutants) found.push({ file, ...location, replacement });
}
process.stdout.write(JSON.stringify(found));
