/**
 * Functions over HTTP (https://docs.convex.dev/http-api).
 * @import { Json } from "../protocol.d.ts"
 * @import { Deployment } from "../deployment.mjs"
 * @import { Answer, Request } from "../http/http.mjs"
 * @import { Kind } from "../running/targets.mjs"
 * @import { Caller } from "../running/identity.mjs"
 * @import { FunctionFailure } from "../running/failure.mjs"
 * @import { FunctionResult, Invocation } from "../running/functions.mjs"
 * @import { Instance } from "./callers.mjs"
 */

import { requireAdmin, requireKey } from "../admin_key.mjs";
import { APP } from "../push/definitions.mjs";
import { BadRequest } from "../errors.mjs";
import { object } from "../push/push_request.mjs";
import { asFailure, serverError } from "../running/failure.mjs";
import { actingAs, asUser, originOf } from "../running/identity.mjs";
import { decodeTimestamp, encodeTimestamp } from "../values/timestamps.mjs";
import { special, specialBytes } from "../values/values.mjs";
import { callerOf } from "./callers.mjs";
import { isSystemFunction, runSystemFunction } from "./system_functions.mjs";

/** @typedef {{ path: string, args: Json, component: string, format: "convex_encoded_json" | "json", at?: bigint }} Call */

export class FunctionApi {
  /** @param {Deployment} deployment @param {Instance} instance */
  constructor(deployment, instance) {
    this.deployment = deployment;
    this.instance = instance;
  }

  /** @param {Kind | null} kind null: whatever the function is @param {Request} request @returns {Promise<Answer>} */
  async run(kind, request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    return await this.#answer(kind, parseCall(await request.json(), "convex_encoded_json"), caller);
  }

  /** A query at the timestamp that the body names. @param {Request} request @returns {Promise<Answer>} */
  async runAt(request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    const body = object(await request.json(), "the body");
    const at = decodeTimestamp(body["ts"]);
    if (at === null) throw new BadRequest("ts must be a timestamp: 8 bytes in base64");
    return await this.#answer("query", { ...parseCall(body, "convex_encoded_json"), at }, caller);
  }

  /** `GET /api/query?path=&args=&format=`. @param {Request} request */
  async runQueryString(request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    const given = request.url.searchParams;
    const body = { path: given.get("path"), args: parseJson(given.get("args") ?? "{}"), format: given.get("format") };
    return await this.#answer("query", parseCall(body, "convex_encoded_json"), caller);
  }

  /** `/api/run/dir/mod/fn`. @param {Request} request */
  async runByUrl(request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    const parts = decodeURIComponent(request.url.pathname.slice("/api/run/".length)).split("/");
    const name = parts.pop() ?? "";
    const body = object(await request.json(), "the body");
    return await this.#answer(null, parseCall({ ...body, path: `${parts.join("/")}:${name}` }, "json"), caller);
  }

  /** For our harness: as a user, who is no admin, or as an admin. @param {Request} request */
  async runAs(request) {
    const body = object(await request.json(), "the body");
    const { kind = null, identity = null, admin = false } = body;
    if (kind !== null && kind !== "query" && kind !== "mutation" && kind !== "action") throw new BadRequest("no such kind");
    const user = identity === null ? null : asUser(identity);
    const caller = { admin: admin === true, user, origin: originOf(request.incoming) };
    return await this.#answer(kind, parseCall(body, "convex_encoded_json"), caller, true);
  }

  /** A query that comes with its code; also with the admin key in the body. @param {Request} request @returns {Promise<Answer>} */
  async runOneOff(request) {
    const { adminKey = "", bundle = null, componentId, ...call } = object(await request.json(), "the body");
    const { name } = this.instance;
    if (request.authorization !== "") requireAdmin(request, this.instance.adminKey, name);
    else requireKey(String(adminKey), this.instance.adminKey, name);
    const { path, source } = object(bundle, "bundle");
    if (typeof path !== "string" || typeof source !== "string") throw new BadRequest("bundle must have a path and a source");
    const { args, format } = parseCall({ ...call, path }, "convex_encoded_json");
    const component = typeof componentId === "string" ? componentId : APP;
    const caller = { admin: true, user: actingAs(request.authorization), origin: originOf(request.incoming) };
    const { functions } = this.deployment.services;
    const [given = {}] = Array.isArray(args) ? args : [args];
    return await this.#told(functions.runOneOff({ component, bundle: { path, source }, args: given, caller }), format, false);
  }

  /** @returns {Answer} */
  timestamp() {
    return { json: { ts: encodeTimestamp(this.deployment.services.history.now()) } };
  }

  /** @param {Kind | null} kind @param {Call} call @param {Caller} caller @param {boolean} [ours] tells what was used too @returns {Promise<Answer>} */
  async #answer(kind, { path, args, component, format, at }, caller, ours = false) {
    const result = this.call({ kind, path, args, component, ...(at !== undefined && { at }) }, caller);
    return await this.#told(result, format, ours);
  }

  /** @param {Promise<FunctionResult>} result @param {Call["format"]} format @param {boolean} ours @returns {Promise<Answer>} */
  async #told(result, format, ours) {
    const used = (/** @type {import("../running/frame.mjs").Usage | null | undefined} */ usage) => (ours && usage ? { usage } : {});
    const shown = (/** @type {Json} */ value) => (format === "json" ? plain(value) : value);
    const logs = (/** @type {string[]} */ lines) => (lines.length > 0 ? { logLines: lines } : {});
    try {
      const { value, logLines, usage } = await result;
      return { json: { status: "success", value: shown(value), ...logs(logLines), ...used(usage) } };
    } catch (error) {
      const failure = asFailure(error);
      const data = failure.data === undefined ? {} : { errorData: shown(failure.data) };
      return { json: { status: "error", errorMessage: serverError(failure), ...data, ...logs(failure.logLines), ...used(failure.usage) } };
    }
  }

  /**
   * @param {Pick<Invocation, "kind" | "path" | "args" | "component" | "alongside" | "at">} call
   * @param {Caller} caller
   * @returns {Promise<FunctionResult>}
   * @throws {FunctionFailure}
   */
  async call(call, caller) {
    const { component = APP, at = null } = call;
    if (caller.admin && isSystemFunction(call.path)) return await runSystemFunction(this.deployment, { ...call, component, at });
    return await this.deployment.services.functions.run({ ...call, caller });
  }
}

/** @param {Json} body @param {Call["format"]} usual @returns {Call} */
function parseCall(body, usual) {
  const { path, args = {}, componentPath, format } = object(body, "the body");
  if (typeof path !== "string") throw new BadRequest("path must be a string");
  if (typeof args !== "object" || args === null) throw new BadRequest("args must be an object or a list of one");
  const known = format === "json" || format === "convex_encoded_json";
  return { path, args, component: typeof componentPath === "string" ? componentPath : APP, format: known ? format : usual };
}

/** @param {string} text @returns {Json} */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest("args is no JSON");
  }
}

/** A value in JSON for those who don't know Convex: int64 and bytes become strings. @param {Json} value @returns {Json} */
function plain(value) {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  switch (special(value)) {
    case "$integer":
      return String(specialBytes(value).readBigInt64LE());
    case "$float":
      return String(specialBytes(value).readDoubleLE());
    case "$bytes":
      return specialBytes(value).toString("base64");
    default:
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
  }
}
