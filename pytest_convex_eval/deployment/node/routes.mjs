/**
 * The routes of the main port. Each one that the CLI knows is answered: it repeats what gets a 404
 * for half a minute.
 * @import { Json } from "./protocol.d.ts"
 * @import { Deployment } from "./deployment.mjs"
 * @import { Answer, Handler, Request } from "./http.mjs"
 */

import { requireAdmin } from "./admin_key.mjs";
import { ApiError, BadRequest, Unsupported } from "./errors.mjs";
import { describeDeployed } from "./harness.mjs";
import * as push from "./push.mjs";
import { object, refuseLegacy } from "./push_request.mjs";

/** What `GET /version` says. Clients only show it. */
export const VERSION = "convex-eval-embedded";
/** The CLI asks again at once, so an answer is held back as the backend's is. */
const LOG_POLL_MILLISECONDS = 10_000;

/**
 * @param {Deployment} deployment
 * @param {{ name: string, adminKey: string }} instance
 * @returns {Handler}
 */
export function mainRoutes(deployment, instance) {
  const { urls } = deployment;
  /** @type {Record<string, Handler>} */
  const open = {
    "GET /version": () => ({ text: VERSION }),
    "GET /instance_version": () => ({ text: VERSION }),
    "GET /instance_name": () => ({ text: instance.name }),
    "GET /": () => ({ text: "This Convex deployment is running." }),
    "POST /api/prepare_schema": refuseLegacy,
    "POST /api/push_config": refuseLegacy,
    "GET /api/schema_state/*": refuseLegacy,
  };
  const list = () => ({ json: { environmentVariables: deployment.environment() } });
  const update = async (/** @type {Request} */ request) => {
    deployment.updateVariables(parseChanges(await request.json()));
    return { json: null };
  };
  /** @type {Record<string, Handler>} */
  const admin = {
    "GET /api/v1/get_canonical_urls": () => ({
      json: { convexCloudUrl: urls.cloud, convexSiteUrl: urls.site },
    }),
    "GET /api/stream_function_logs": (request) => emptyLogs(request),
    "POST /api/check_admin_key": () => ({ json: { success: true } }),
    "POST /api/get_config_hashes": () => push.configHashes(deployment),
    "POST /api/deploy2/evaluate_schema": () => push.evaluateSchema(),
    "POST /api/deploy2/evaluate_push": (request) => push.evaluatePush(deployment, request),
    "POST /api/deploy2/start_push": (request) => push.startPush(deployment, request),
    "POST /api/deploy2/wait_for_schema": () => push.waitForSchema(),
    "POST /api/deploy2/finish_push": (request) => push.finishPush(deployment, request),
    "POST /api/deploy2/report_push_completed": () => ({ json: null }),
    "POST /api/shapes2": () => ({ json: {} }),
    "GET /api/v1/list_environment_variables": list,
    "POST /api/v1/update_environment_variables": update,
    "POST /api/update_environment_variables": update,
    "GET /api/convex_eval/deployed": () => ({ json: describeDeployed(deployment.live) }),
    "GET /api/convex_eval/last_push": () => ({ json: deployment.lastPush }),
    "POST /api/convex_eval/reset": () => {
      deployment.reset();
      return { json: null };
    },
  };
  for (const path of ["query", "mutation", "action", "function", "query_ts", "query_at_ts", "run/*", "run_test_function"]) {
    open[`POST /api/${path}`] = noFunctions;
  }
  for (const path of ["query", "sync", "*/sync", "storage/*"]) open[`GET /api/${path}`] = noFunctions;
  open["POST /api/storage/upload"] = noFunctions;
  return (request) => {
    const path = request.url.pathname;
    const handle = find(open, request.method, path);
    if (handle !== null) return handle(request);
    const guarded = find(admin, request.method, path);
    if (guarded === null) throw new ApiError(404, "NotFound", `No route ${request.method} ${path}`);
    requireAdmin(request, instance.adminKey, instance.name);
    return guarded(request);
  };
}

/** The site port: HTTP actions. @returns {Handler} */
export function siteRoutes() {
  return (request) => {
    if (request.url.pathname === "/version") return { text: VERSION };
    return { text: "This Convex deployment does not have HTTP actions enabled.", status: 404 };
  };
}

/** @param {Record<string, Handler>} routes @param {string} method @param {string} path */
function find(routes, method, path) {
  const exact = routes[`${method} ${path}`];
  if (exact !== undefined) return exact;
  for (const [key, handle] of Object.entries(routes)) {
    const [head, tail] = key.split("*");
    const text = `${method} ${path}`;
    if (tail !== undefined && text.startsWith(head ?? "") && text.endsWith(tail)) return handle;
  }
  return null;
}

/** @returns {never} */
function noFunctions() {
  throw new Unsupported("The embedded deployment checks pushes and does not run functions.");
}

/** @param {Request} request @returns {Promise<Answer>} */
async function emptyLogs(request) {
  const cursor = Number(request.url.searchParams.get("cursor") ?? 0);
  if (cursor > 0) await new Promise((resolve) => setTimeout(resolve, LOG_POLL_MILLISECONDS).unref());
  return { json: { entries: [], newCursor: cursor + 1 } };
}

/** @param {Json} body */
function parseChanges(body) {
  const changes = object(body, "the body")["changes"];
  if (!Array.isArray(changes)) throw new BadRequest("changes must be a list");
  return changes.map((json) => {
    const { name, value } = object(json, "a change");
    if (typeof name !== "string") throw new BadRequest("a change must have a name");
    if (typeof value !== "string" && value !== null && value !== undefined) {
      throw new BadRequest("a variable's value must be a string or null");
    }
    return { name, value: value ?? null };
  });
}
