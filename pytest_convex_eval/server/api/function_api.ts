/** Functions over HTTP (https://docs.convex.dev/http-api). */

import { requireAdmin, requireKey } from "../admin_key.ts";
import { APP } from "../push/definitions.ts";
import { BadRequest } from "../errors.ts";
import { object } from "../push/push_request.ts";
import { asFailure, serverError } from "../running/failure.ts";
import { actingAs, asUser, originOf } from "../running/identity.ts";
import { decodeTimestamp, encodeTimestamp } from "../values/timestamps.ts";
import { special, specialBytes } from "../values/values.ts";
import { callerOf } from "./callers.ts";
import { isSystemFunction, runSystemFunction } from "./system_functions.ts";
import type { Json } from "../protocol.ts";
import type { Deployment } from "../deployment.ts";
import type { Answer, Request } from "../http/http.ts";
import type { Kind } from "../running/targets.ts";
import type { Caller } from "../running/identity.ts";
import type { FunctionResult, Invocation } from "../running/functions.ts";
import type { Instance } from "./callers.ts";

export type Call = {
  path: string;
  args: Json;
  component: string;
  format: "convex_encoded_json" | "json";
  at?: bigint;
};

export class FunctionApi {
  deployment: Deployment;
  instance: Instance;
  constructor(deployment: Deployment, instance: Instance) {
    this.deployment = deployment;
    this.instance = instance;
  }

  /** @param kind null: whatever the function is */
  async run(kind: Kind | null, request: Request): Promise<Answer> {
    const caller = await callerOf(this.deployment, this.instance, request);
    return await this.#answer(kind, parseCall(await request.json(), "convex_encoded_json"), caller);
  }

  /** A query at the timestamp that the body names. */
  async runAt(request: Request): Promise<Answer> {
    const caller = await callerOf(this.deployment, this.instance, request);
    const body = object(await request.json(), "the body");
    const at = decodeTimestamp(body["ts"]);
    if (at === null) throw new BadRequest("ts must be a timestamp: 8 bytes in base64");
    return await this.#answer("query", { ...parseCall(body, "convex_encoded_json"), at }, caller);
  }

  /** `GET /api/query?path=&args=&format=`. */
  async runQueryString(request: Request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    const given = request.url.searchParams;
    const body = {
      path: given.get("path"),
      args: parseJson(given.get("args") ?? "{}"),
      format: given.get("format"),
    };
    return await this.#answer("query", parseCall(body, "convex_encoded_json"), caller);
  }

  /** `/api/run/dir/mod/fn`. */
  async runByUrl(request: Request) {
    const caller = await callerOf(this.deployment, this.instance, request);
    const parts = decodeURIComponent(request.url.pathname.slice("/api/run/".length)).split("/");
    const name = parts.pop() ?? "";
    const body = object(await request.json(), "the body");
    return await this.#answer(
      null,
      parseCall({ ...body, path: `${parts.join("/")}:${name}` }, "json"),
      caller,
    );
  }

  /** For our harness: as a user, who is no admin, or as an admin. */
  async runAs(request: Request) {
    const body = object(await request.json(), "the body");
    const { kind = null, identity = null, admin = false } = body;
    if (kind !== null && kind !== "query" && kind !== "mutation" && kind !== "action")
      throw new BadRequest("no such kind");
    const user = identity === null ? null : asUser(identity);
    const caller = { admin: admin === true, user, origin: originOf(request.incoming) };
    return await this.#answer(kind, parseCall(body, "convex_encoded_json"), caller, true);
  }

  /** A query that comes with its code; also with the admin key in the body. */
  async runOneOff(request: Request): Promise<Answer> {
    const {
      adminKey = "",
      bundle = null,
      componentId,
      ...call
    } = object(await request.json(), "the body");
    const { name } = this.instance;
    if (request.authorization !== "") requireAdmin(request, this.instance.adminKey, name);
    else requireKey(String(adminKey), this.instance.adminKey, name);
    const { path, source } = object(bundle, "bundle");
    if (typeof path !== "string" || typeof source !== "string")
      throw new BadRequest("bundle must have a path and a source");
    const { args, format } = parseCall({ ...call, path }, "convex_encoded_json");
    const component = typeof componentId === "string" ? componentId : APP;
    const caller = {
      admin: true,
      user: actingAs(request.authorization),
      origin: originOf(request.incoming),
    };
    const { functions } = this.deployment.services;
    const [given = {}] = Array.isArray(args) ? args : [args];
    return await this.#told(
      functions.runOneOff({ component, bundle: { path, source }, args: given, caller }),
      format,
      false,
    );
  }

  timestamp(): Answer {
    return { json: { ts: encodeTimestamp(this.deployment.services.history.now()) } };
  }

  /** @param ours tells what was used too */
  async #answer(
    kind: Kind | null,
    { path, args, component, format, at }: Call,
    caller: Caller,
    ours: boolean = false,
  ): Promise<Answer> {
    const result = this.call(
      { kind, path, args, component, ...(at !== undefined && { at }) },
      caller,
    );
    return await this.#told(result, format, ours);
  }

  async #told(
    result: Promise<FunctionResult>,
    format: Call["format"],
    ours: boolean,
  ): Promise<Answer> {
    const used = (usage: import("../running/frame.ts").Usage | null | undefined) =>
      ours && usage ? { usage } : {};
    const shown = (value: Json) => (format === "json" ? plain(value) : value);
    const logs = (lines: string[]) => (lines.length > 0 ? { logLines: lines } : {});
    try {
      const { value, logLines, usage } = await result;
      return {
        json: { status: "success", value: shown(value), ...logs(logLines), ...used(usage) },
      };
    } catch (error) {
      const failure = asFailure(error);
      const data = failure.data === undefined ? {} : { errorData: shown(failure.data) };
      return {
        json: {
          status: "error",
          errorMessage: serverError(failure),
          ...data,
          ...logs(failure.logLines),
          ...used(failure.usage),
        },
      };
    }
  }

  /** @throws FunctionFailure */
  async call(
    call: Pick<Invocation, "kind" | "path" | "args" | "component" | "alongside" | "at">,
    caller: Caller,
  ): Promise<FunctionResult> {
    const { component = APP, at = null } = call;
    if (caller.admin && isSystemFunction(call.path))
      return await runSystemFunction(this.deployment, { ...call, component, at });
    return await this.deployment.services.functions.run({ ...call, caller });
  }
}

function parseCall(body: Json, usual: Call["format"]): Call {
  const { path, args = {}, componentPath, format } = object(body, "the body");
  if (typeof path !== "string") throw new BadRequest("path must be a string");
  if (typeof args !== "object" || args === null)
    throw new BadRequest("args must be an object or a list of one");
  const known = format === "json" || format === "convex_encoded_json";
  return {
    path,
    args,
    component: typeof componentPath === "string" ? componentPath : APP,
    format: known ? format : usual,
  };
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest("args is no JSON");
  }
}

/** A value in JSON for those who don't know Convex: int64 and bytes become strings. */
function plain(value: Json): Json {
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
