/** Lints files with ESLint and our plugin, every rule on: what it says, as JSON on stdout. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [nodeModules, pluginPath] = process.argv.slice(2);
/** @type {string[]} */
const paths = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(`${nodeModules}/from-here.js`);
const { Linter } = require("eslint");
const parser = require("@typescript-eslint/parser");
const { default: plugin } = await import(pathToFileURL(pluginPath).href);

const linter = new Linter({ configType: "flat", cwd: process.cwd() });
const config = {
  files: ["**/*.ts", "**/*.js"],
  languageOptions: { parser, sourceType: "module" },
  plugins: { "convex-eval": plugin },
  rules: Object.fromEntries(
    Object.keys(plugin.rules).map((name) => [`convex-eval/${name}`, "error"]),
  ),
};
const said = paths.flatMap((path) =>
  linter
    .verify(readFileSync(path, "utf8"), [config], { filename: path })
    .map(({ ruleId, message, line, column }) => [path, ruleId, line, column, message]),
);
console.log(JSON.stringify(said));
