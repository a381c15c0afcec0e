/**
 * HTTP actions: the app's routes, and those that its components are mounted at.
 * @import { Deployment } from "../deployment.mjs"
 * @import { Answer, Request } from "../http.mjs"
 * @import { Instance } from "./callers.mjs"
 */

import { APP } from "../definitions.mjs";
import { ApiError } from "../errors.mjs";
import { asFailure, FunctionFailure } from "../running/failure.mjs";
import { NOBODY } from "../running/identity.mjs";
import { definitionOf } from "../running/targets.mjs";
import { callerOf } from "./callers.mjs";
import { ResponseStream, tooLarge } from "./response_stream.mjs";

const MAX_BODY_BYTES = 20 * 1024 * 1024;
const WITHOUT_BODY = new Set(["GET", "HEAD", "OPTIONS"]);
/** Of the connection and not of the message (RFC 9110, 7.6.1), or set by the server. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "te", "trailer"]);

/**
 * @param {Deployment} deployment @param {Instance} instance @param {Request} request
 * @param {string} path as the action sees it
 * @returns {Promise<Answer>}
 */
export async function serveHttpAction(deployment, instance, request, path) {
  const route = findRoute(deployment, path);
  if (route === null) return { text: "This Convex deployment does not have HTTP actions enabled.", status: 404 };
  // An Authorization header that is no identity of Convex's is the action's own business.
  const caller = await callerOf(deployment, instance, request).catch((error) => {
    if (error instanceof ApiError) return NOBODY;
    throw error;
  });
  const { incoming, method, url } = request;
  const body = WITHOUT_BODY.has(method) ? null : (await request.bytes(MAX_BODY_BYTES)).toString("base64");
  /** @type {[string, string][]} */
  const headers = [];
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = incoming.rawHeaders.slice(i, i + 2);
    if (!HOP_BY_HOP.has(name.toLowerCase())) headers.push([name, value]);
  }
  const scheme = String(incoming.headers["x-forwarded-proto"] ?? "http");
  const described = {
    url: `${scheme}://${incoming.headers.host ?? "localhost"}${route.path}${url.search}`,
    method: method === "HEAD" ? "GET" : method,
    ...{ headers, body },
  };
  const stream = new ResponseStream(MAX_BODY_BYTES);
  const { operations } = stream;
  const run = deployment.services.functions.runHttp({ component: route.component, request: described, caller, operations });
  run.then(() => stream.end(null), (error) => stream.end(error));
  try {
    const answer = await Promise.race([run, stream.head.then((head) => ({ ...head, body: null }))]);
    if (answer === null) return { text: "No matching routes found", status: 404 };
    const head = { status: answer.status, headers: answer.headers.filter(([name]) => !HOP_BY_HOP.has(name)) };
    if (answer.body === null) return { ...head, stream: stream.body };
    const bytes = Buffer.from(answer.body, "base64");
    if (bytes.length > MAX_BODY_BYTES) throw new FunctionFailure(tooLarge(MAX_BODY_BYTES));
    return { ...head, bytes };
  } catch (error) {
    const { text, data, requestId } = asFailure(error);
    const [first = ""] = text.replace(/^Uncaught (\w*Error: )?/, "").split("\n");
    const code = `[Request ID: ${requestId}] Server Error: ${first}`;
    const bytes = Buffer.from(JSON.stringify({ code, trace: text, ...(data === undefined ? {} : { data }) }));
    return { status: 500, headers: [["Content-Type", "application/json"]], bytes };
  }
}

/** The component that serves a path, and the path that it sees. @param {Deployment} deployment @param {string} path */
function findRoute(deployment, path) {
  const found = definitionOf(deployment.live, APP);
  const mounts = Object.entries(found?.definition.definition.httpMounts ?? {}).sort(([a], [b]) => b.length - a.length);
  for (const [prefix, reference] of mounts) {
    if (path.startsWith(prefix)) {
      return { component: reference.split("/").at(-1) ?? APP, path: `/${path.slice(prefix.length)}` };
    }
  }
  return found?.definition.functions.get("http.js")?.httpRoutes ? { component: APP, path } : null;
}
