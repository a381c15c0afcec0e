/** A push as the CLI sends it, in the forms of 1.28 and later, checked. */

import { ApiError, BadRequest, requireKnown } from "../errors.ts";
import type { ComponentSource, Json, Module, ModuleHash, PushRequest } from "../protocol.ts";

/** The oldest CLI that pushes every project through deploy2. */
export const MINIMUM_CLI = "1.28.0";

export type JsonObject = { [key: string]: Json };

const OF_PUSH = new Set(
  (
    "adminKey dryRun functions appDefinition componentDefinitions nodeDependencies nodeVersion " +
    "forCodegen"
  ).split(" "),
);
const OF_DEFINITION = new Set(
  (
    "definitionPath definition dependencies schema functions changedModules unchangedModuleHashes " +
    "udfServerVersion"
  ).split(" "),
);
const OF_MODULE = new Set("path source sourceMap environment sha256".split(" "));

/** @throws BadRequest @throws UnknownFeature a newer CLI's */
export function parsePush(body: Json): PushRequest {
  const request = object(body, "the body");
  requireKnown("push field", request, OF_PUSH);
  const app = object(request["appDefinition"] ?? null, "appDefinition");
  requireKnown("push field", app, OF_DEFINITION, "appDefinition.");
  return {
    dryRun: request["dryRun"] === true,
    functions: text(request["functions"] ?? "convex/", "functions"),
    app: {
      definition: optional(app["definition"], (json) => module(json)),
      dependencies: strings(app["dependencies"] ?? []),
      schema: optional(app["schema"], (json) => module(json)),
      // CLIs up to 1.31.5 send all modules as `functions`.
      changedModules: list(app["changedModules"] ?? app["functions"] ?? [], "changedModules").map(
        module,
      ),
      unchangedModules: list(app["unchangedModuleHashes"] ?? [], "unchangedModuleHashes").map(hash),
      udfServerVersion: text(app["udfServerVersion"] ?? null, "udfServerVersion"),
    },
    components: list(request["componentDefinitions"] ?? [], "componentDefinitions").map(component),
    nodeDependencies: list(request["nodeDependencies"] ?? [], "nodeDependencies").map((json) => {
      const each = object(json, "nodeDependencies");
      return {
        name: text(each["name"] ?? null, "name"),
        version: text(each["version"] ?? null, "version"),
      };
    }),
    nodeVersion: optional(request["nodeVersion"], (json) => text(json, "nodeVersion")),
  };
}

/** The answer to what CLIs before 1.28 send. */
export function refuseLegacy(): never {
  throw new ApiError(
    400,
    "UnsupportedConvexVersion",
    `This deployment takes pushes from version ${MINIMUM_CLI} of the \`convex\` package and newer. Update it in package.json.`,
  );
}

/**
 * CLIs before 1.28 push apps with a convex.config file through the newer routes.
 * @param client as the CLI names itself: `npm-cli-1.27.5`
 */
export function refuseOldCli(client: string) {
  const [, major, minor] = /^npm-cli-(\d+)\.(\d+)\./.exec(client) ?? [];
  if (major === undefined) return;
  const [oldestMajor = 0, oldestMinor = 0] = MINIMUM_CLI.split(".").map(Number);
  const isOlder =
    Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
  if (isOlder) refuseLegacy();
}

function module(json: Json): Module {
  const raw = object(json, "a module");
  requireKnown("push field", raw, OF_MODULE, "a module's ");
  const environment = raw["environment"];
  if (environment !== "isolate" && environment !== "node")
    throw new BadRequest("a module has no environment");
  const sourceMap = raw["sourceMap"];
  return {
    path: text(raw["path"] ?? null, "path"),
    source: text(raw["source"] ?? null, "source"),
    ...(typeof sourceMap === "string" ? { sourceMap } : {}),
    environment,
  };
}

function hash(json: Json): ModuleHash {
  const raw = object(json, "a module's hash");
  return {
    path: text(raw["path"] ?? null, "path"),
    environment: raw["environment"] === "node" ? "node" : "isolate",
    sha256: text(raw["sha256"] ?? null, "sha256"),
  };
}

function component(json: Json): ComponentSource {
  const raw = object(json, "a component's definition");
  requireKnown("push field", raw, OF_DEFINITION, "a component's ");
  return {
    definitionPath: text(raw["definitionPath"] ?? null, "definitionPath"),
    definition: module(raw["definition"] ?? null),
    dependencies: strings(raw["dependencies"] ?? []),
    schema: optional(raw["schema"], module),
    functions: list(raw["functions"] ?? [], "functions").map(module),
    udfServerVersion: text(raw["udfServerVersion"] ?? null, "udfServerVersion"),
  };
}

export function object(json: Json, what: string): JsonObject {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  throw new BadRequest(`${what} must be an object`);
}

function list(json: Json, what: string): Json[] {
  if (Array.isArray(json)) return json;
  throw new BadRequest(`${what} must be a list`);
}

function text(json: Json, what: string): string {
  if (typeof json === "string") return json;
  throw new BadRequest(`${what} must be a string`);
}

function strings(json: Json) {
  return list(json, "dependencies").map((each) => text(each, "a dependency"));
}

function optional<T>(json: Json | undefined, read: (json: Json) => T): T | null {
  return json === undefined || json === null ? null : read(json);
}
