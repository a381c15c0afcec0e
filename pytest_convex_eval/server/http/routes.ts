/**
 * The routes of the main port. Each one that the CLI knows is answered: it repeats what gets a 404
 * for half a minute.
 */

import { requireAdmin } from "../admin_key.ts";
import { FunctionApi } from "../api/function_api.ts";
import { serveHttpAction } from "./http_actions.ts";
import { download, upload } from "../api/storage_api.ts";
import { ApiError, BadRequest } from "../errors.ts";
import { unknownOf } from "../api/features.ts";
import { describeDeployed } from "../api/harness.ts";
import * as push from "./push_api.ts";
import { object, refuseLegacy, refuseOldCli } from "../push/push_request.ts";
import { parseTimeLimits } from "../running/time_limits.ts";
import { transferRoutes } from "./transfer_routes.ts";
import type { Json } from "../protocol.ts";
import type { Deployment } from "../deployment.ts";
import type { Answer, Handler, Request } from "./http.ts";
import type { Services } from "../running/services.ts";

/** What `GET /version` says. Clients only show it. */
export const VERSION = "convex-eval-embedded";
/** The CLI asks again at once, so an answer is held back as the backend's is. */
const LOG_POLL_MILLISECONDS = 10_000;

export function mainRoutes(
  deployment: Deployment,
  instance: { name: string; adminKey: string },
): Handler {
  const { urls, services } = deployment;
  const open: Record<string, Handler> = {
    "GET /version": () => ({ text: VERSION }),
    "GET /instance_version": () => ({ text: VERSION }),
    "GET /instance_name": () => ({ text: instance.name }),
    "GET /": () => ({ text: "This Convex deployment is running." }),
    "GET /.well-known/jwks.json": () => ({ json: services.ownTokens.keySet }),
    "POST /api/prepare_schema": refuseLegacy,
    "POST /api/push_config": refuseLegacy,
    "GET /api/schema_state/*": refuseLegacy,
  };
  const list = () => ({ json: { environmentVariables: deployment.environment() } });
  const update = async (request: Request) => {
    deployment.updateVariables(parseChanges(await request.json()));
    await services.durable();
    return { json: null };
  };
  const admin: Record<string, Handler> = {
    "GET /api/v1/get_canonical_urls": () => ({
      json: { convexCloudUrl: urls.cloud, convexSiteUrl: urls.site },
    }),
    "GET /api/stream_function_logs": (request) => followLogs(services, request),
    "POST /api/check_admin_key": () => ({ json: { success: true } }),
    "POST /api/get_config_hashes": () => push.configHashes(deployment),
    "POST /api/deploy2/evaluate_schema": () => push.evaluateSchema(),
    "POST /api/deploy2/evaluate_push": (request) => push.evaluatePush(deployment, request),
    "POST /api/deploy2/start_push": (request) => push.startPush(deployment, request),
    "POST /api/deploy2/wait_for_schema": (request) => push.waitForSchema(deployment, request),
    "POST /api/deploy2/finish_push": (request) => push.finishPush(deployment, request),
    "POST /api/deploy2/report_push_completed": () => ({ json: null }),
    "POST /api/shapes2": () => ({ json: {} }),
    "GET /api/v1/list_environment_variables": list,
    "POST /api/v1/update_environment_variables": update,
    "POST /api/update_environment_variables": update,
    "GET /api/convex_eval/deployed": () => ({ json: describeDeployed(deployment.live) }),
    "GET /api/convex_eval/last_push": () => ({ json: deployment.lastPush }),
    "GET /api/convex_eval/unknown": () => ({ json: [...services.unknown] }),
    "POST /api/convex_eval/unknown_of": async (request) => ({
      json: unknownOf(await request.json(), (route) => {
        const [method = "", path = ""] = route.split(" ");
        return find(open, method, path) !== null || find(admin, method, path) !== null;
      }),
    }),
    "POST /api/convex_eval/reset": async () => {
      deployment.reset();
      await services.durable();
      return { json: null };
    },
    "POST /api/convex_eval/reset_data": async (request) => {
      const { now = null } = object((await request.json()) ?? {}, "the body");
      if (now !== null && typeof now !== "number")
        throw new BadRequest("now must be a number of milliseconds");
      deployment.resetData(now);
      await services.durable();
      return { json: null };
    },
    "POST /api/convex_eval/reachable": async (request) => {
      const { origins } = object(await request.json(), "the body");
      if (!Array.isArray(origins)) throw new BadRequest("origins must be a list");
      services.reachable = new Set(origins.map((origin) => new URL(String(origin)).origin));
      return { json: null };
    },
    "POST /api/convex_eval/time_limits": async (request) => {
      services.timeLimits = parseTimeLimits(await request.json());
      return { json: null };
    },
    "POST /api/convex_eval/advance": async (request) => {
      const { ms } = object(await request.json(), "the body");
      if (typeof ms !== "number" || ms < 0)
        throw new BadRequest("ms must be a number of milliseconds");
      await services.scheduler.advance(ms);
      await services.durable();
      return { json: { now: services.clock.now(), failures: services.failures.splice(0) } };
    },
  };
  Object.assign(admin, transferRoutes(deployment));
  const api = new FunctionApi(deployment, instance);
  for (const kind of ["query", "mutation", "action"] as const) {
    open[`POST /api/${kind}`] = (request) => api.run(kind, request);
  }
  open["GET /api/query"] = (request) => api.runQueryString(request);
  open["POST /api/query_at_ts"] = (request) => api.runAt(request);
  open["POST /api/query_ts"] = () => api.timestamp();
  open["POST /api/run/*"] = (request) => api.runByUrl(request);
  admin["POST /api/convex_eval/call"] = (request) => api.runAs(request);
  admin["POST /api/function"] = (request) => api.run(null, request);
  open["POST /api/run_test_function"] = (request) => api.runOneOff(request);
  open["POST /api/storage/upload"] = (request) => upload(services, request);
  open["GET /api/sync"] = open["GET /api/*/sync"] = noWebSocket;
  open["GET /api/storage/*"] = (request) => download(services, request);
  return (request) => {
    const path = request.url.pathname;
    if (path === "/http" || path.startsWith("/http/")) {
      return serveHttpAction(deployment, instance, request, path.slice("/http".length) || "/");
    }
    if (request.method === "OPTIONS") return preflight(request);
    const handle = find(open, request.method, path);
    if (handle !== null) return handle(request);
    const guarded = find(admin, request.method, path);
    if (guarded === null) throw new ApiError(404, "NotFound", `No route ${request.method} ${path}`);
    requireAdmin(request, instance.adminKey, instance.name);
    if (path.startsWith("/api/deploy2/"))
      refuseOldCli(String(request.incoming.headers["convex-client"] ?? ""));
    return guarded(request);
  };
}

/** The site port: HTTP actions. */
export function siteRoutes(
  deployment: Deployment,
  instance: { name: string; adminKey: string },
): Handler {
  return (request) => serveHttpAction(deployment, instance, request, request.url.pathname);
}

/** What browsers ask before a request to another origin. */
function preflight({ incoming }: Request): Answer {
  const wanted = incoming.headers["access-control-request-headers"] ?? "*";
  return {
    status: 204,
    headers: [
      ["Access-Control-Allow-Methods", "GET, POST, OPTIONS"],
      ["Access-Control-Allow-Headers", wanted],
      ["Access-Control-Max-Age", "86400"],
    ],
    bytes: Buffer.alloc(0),
  };
}

function find(routes: Record<string, Handler>, method: string, path: string) {
  const exact = routes[`${method} ${path}`];
  if (exact !== undefined) return exact;
  for (const [key, handle] of Object.entries(routes)) {
    const [head, tail] = key.split("*");
    const text = `${method} ${path}`;
    if (tail !== undefined && text.startsWith(head ?? "") && text.endsWith(tail)) return handle;
  }
  return null;
}

function noWebSocket(): never {
  throw new BadRequest("The sync protocol needs a WebSocket.");
}

async function followLogs(services: Services, request: Request): Promise<Answer> {
  const cursor = Number(request.url.searchParams.get("cursor") ?? 0);
  if (!Number.isFinite(cursor)) throw new BadRequest("cursor must be a number");
  return { json: await services.log.after(cursor, LOG_POLL_MILLISECONDS) };
}

function parseChanges(body: Json) {
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
