/**
 * A push as the CLI sends it, in the forms of 1.28 and later, checked.
 * @import { ComponentSource, Json, Module, ModuleHash, PushRequest } from "../protocol.d.ts"
 */

import { ApiError, BadRequest } from "../errors.mjs";

/** The oldest CLI that pushes every project through deploy2. */
export const MINIMUM_CLI = "1.28.0";

/** @typedef {{ [key: string]: Json }} JsonObject */

/** @param {Json} body @returns {PushRequest} @throws {BadRequest} */
export function parsePush(body) {
  const request = object(body, "the body");
  const app = object(request["appDefinition"] ?? null, "appDefinition");
  return {
    dryRun: request["dryRun"] === true,
    functions: text(request["functions"] ?? "convex/", "functions"),
    app: {
      definition: optional(app["definition"], (json) => module(json)),
      dependencies: strings(app["dependencies"] ?? []),
      schema: optional(app["schema"], (json) => module(json)),
      // CLIs up to 1.31.5 send all modules as `functions`.
      changedModules: list(app["changedModules"] ?? app["functions"] ?? [], "changedModules").map(module),
      unchangedModules: list(app["unchangedModuleHashes"] ?? [], "unchangedModuleHashes").map(hash),
      udfServerVersion: text(app["udfServerVersion"] ?? null, "udfServerVersion"),
    },
    components: list(request["componentDefinitions"] ?? [], "componentDefinitions").map(component),
    nodeDependencies: list(request["nodeDependencies"] ?? [], "nodeDependencies").map((json) => {
      const each = object(json, "nodeDependencies");
      return { name: text(each["name"] ?? null, "name"), version: text(each["version"] ?? null, "version") };
    }),
    nodeVersion: optional(request["nodeVersion"], (json) => text(json, "nodeVersion")),
  };
}

/** The answer to what CLIs before 1.28 send. @returns {never} */
export function refuseLegacy() {
  throw new ApiError(
    400,
    "UnsupportedConvexVersion",
    `This deployment takes pushes from version ${MINIMUM_CLI} of the \`convex\` package and newer. Update it in package.json.`,
  );
}

/**
 * CLIs before 1.28 push apps with a convex.config file through the newer routes.
 * @param {string} client as the CLI names itself: `npm-cli-1.27.5`
 */
export function refuseOldCli(client) {
  const [, major, minor] = /^npm-cli-(\d+)\.(\d+)\./.exec(client) ?? [];
  if (major === undefined) return;
  const [oldestMajor = 0, oldestMinor = 0] = MINIMUM_CLI.split(".").map(Number);
  const isOlder = Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
  if (isOlder) refuseLegacy();
}

/** @param {Json} json @returns {Module} */
function module(json) {
  const raw = object(json, "a module");
  const environment = raw["environment"];
  if (environment !== "isolate" && environment !== "node") throw new BadRequest("a module has no environment");
  const sourceMap = raw["sourceMap"];
  return {
    path: text(raw["path"] ?? null, "path"),
    source: text(raw["source"] ?? null, "source"),
    ...(typeof sourceMap === "string" ? { sourceMap } : {}),
    environment,
  };
}

/** @param {Json} json @returns {ModuleHash} */
function hash(json) {
  const raw = object(json, "a module's hash");
  return {
    path: text(raw["path"] ?? null, "path"),
    environment: raw["environment"] === "node" ? "node" : "isolate",
    sha256: text(raw["sha256"] ?? null, "sha256"),
  };
}

/** @param {Json} json @returns {ComponentSource} */
function component(json) {
  const raw = object(json, "a component's definition");
  return {
    definitionPath: text(raw["definitionPath"] ?? null, "definitionPath"),
    definition: module(raw["definition"] ?? null),
    dependencies: strings(raw["dependencies"] ?? []),
    schema: optional(raw["schema"], module),
    functions: list(raw["functions"] ?? [], "functions").map(module),
    udfServerVersion: text(raw["udfServerVersion"] ?? null, "udfServerVersion"),
  };
}

/** @param {Json} json @param {string} what @returns {JsonObject} */
export function object(json, what) {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  throw new BadRequest(`${what} must be an object`);
}

/** @param {Json} json @param {string} what @returns {Json[]} */
function list(json, what) {
  if (Array.isArray(json)) return json;
  throw new BadRequest(`${what} must be a list`);
}

/** @param {Json} json @param {string} what @returns {string} */
function text(json, what) {
  if (typeof json === "string") return json;
  throw new BadRequest(`${what} must be a string`);
}

/** @param {Json} json */
function strings(json) {
  return list(json, "dependencies").map((each) => text(each, "a dependency"));
}

/** @template T @param {Json | undefined} json @param {(json: Json) => T} read @returns {T | null} */
function optional(json, read) {
  return json === undefined || json === null ? null : read(json);
}
