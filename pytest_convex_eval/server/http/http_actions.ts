/** HTTP actions: the app's routes, and those that its components are mounted at. */

import { ApiError } from "../errors.ts";
import { asFailure, FunctionFailure } from "../running/failure.ts";
import { NOBODY, originOf } from "../running/identity.ts";
import { callerOf } from "../api/callers.ts";
import { findRouter, hasRouters } from "./http_routes.ts";
import { ResponseStream, tooLarge } from "./response_stream.ts";
import type { Deployment } from "../deployment.ts";
import type { IncomingMessage } from "node:http";
import type { Answer, Request } from "./http.ts";
import type { Instance } from "../api/callers.ts";

const MAX_BODY_BYTES = 20 * 1024 * 1024;
const NO_ROUTE = "No matching routes found";
const WITHOUT_BODY = new Set(["GET", "HEAD", "OPTIONS"]);
/** Of the connection and not of the message (RFC 9110, 7.6.1), or set by the server. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "te",
  "trailer",
]);

/** @param path as the caller wrote it */
export async function serveHttpAction(
  deployment: Deployment,
  instance: Instance,
  request: Request,
  path: string,
): Promise<Answer> {
  const routable = request.method === "HEAD" ? "GET" : request.method;
  if (!hasRouters(deployment.live))
    return notFound("This Convex deployment does not have HTTP actions enabled.");
  const route = findRouter(deployment.live, path, routable);
  if (route === null) return notFound(NO_ROUTE);
  // An Authorization header that is no identity of Convex's is the action's own business.
  const caller = await callerOf(deployment, instance, request).catch((error) => {
    if (error instanceof ApiError) return { ...NOBODY, origin: originOf(request.incoming) };
    throw error;
  });
  const { incoming, method, url } = request;
  const body = WITHOUT_BODY.has(method)
    ? null
    : (await request.bytes(MAX_BODY_BYTES)).toString("base64");
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = incoming.rawHeaders.slice(i, i + 2);
    if (!HOP_BY_HOP.has(name.toLowerCase())) headers.push([name, value]);
  }
  const described = {
    // As the caller wrote it, wherever the component is mounted.
    url: `${schemeOf(incoming)}://${incoming.headers.host ?? "localhost"}${path}${url.search}`,
    route: route.path,
    method: routable,
    ...{ headers, body },
  };
  const stream = new ResponseStream(MAX_BODY_BYTES);
  const { operations } = stream;
  const run = deployment.services.functions.runHttp({
    component: route.component,
    request: described,
    caller,
    operations,
  });
  run.then(
    () => stream.end(null),
    (error) => stream.end(error),
  );
  try {
    const answer = await Promise.race([run, stream.head.then((head) => ({ ...head, body: null }))]);
    if (answer === null) return notFound(NO_ROUTE);
    const head = {
      isOwn: true,
      status: answer.status,
      headers: answer.headers.filter(([name]) => !HOP_BY_HOP.has(name)),
    };
    if (answer.body === null) return { ...head, stream: stream.body };
    const bytes = Buffer.from(answer.body, "base64");
    if (bytes.length > MAX_BODY_BYTES) throw new FunctionFailure(tooLarge(MAX_BODY_BYTES));
    return { ...head, bytes };
  } catch (error) {
    const { text, data, requestId } = asFailure(error);
    const [first = ""] = text.split("\n");
    const code = `[Request ID: ${requestId}] Server Error: ${first}`;
    const bytes = Buffer.from(
      JSON.stringify({ code, trace: text, ...(data === undefined ? {} : { data }) }),
    );
    return { isOwn: true, status: 500, headers: [["Content-Type", "application/json"]], bytes };
  }
}

function notFound(text: string): Answer {
  return {
    isOwn: true,
    status: 404,
    headers: [["Content-Type", "text/plain; charset=utf-8"]],
    bytes: Buffer.from(text),
  };
}

/** How the client reached a proxy (RFC 7239), where one says so. */
function schemeOf({ headers }: IncomingMessage) {
  const forwarded = /(?:^|[;,\s])proto="?([a-z]+)/i.exec(headers.forwarded ?? "")?.[1];
  const [given] = String(headers["x-forwarded-proto"] ?? forwarded ?? "http").split(",");
  return given?.trim().toLowerCase() === "https" ? "https" : "http";
}
