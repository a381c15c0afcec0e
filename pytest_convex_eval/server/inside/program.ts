/**
 * The program of an isolate that runs functions: reads requests from its stdin and writes to descriptor 3, a line
 * of JSON each. Ends with its stdin.
 */

import { getHeapStatistics } from "node:v8";

import { process, writeSync } from "./own_node.ts";
import { describe, recordFrames } from "./stack.ts";
import { Call } from "./call.ts";
import { onLines } from "./lines.ts";
import { Code, Loader } from "./loader.ts";
import { wrappers } from "./one_off.ts";
import { current, currentCall, makeRealm } from "./realm.ts";
import type { CallRequest } from "./call.ts";
import type { Json } from "../protocol.ts";

const RESULTS = 3;
/** What ad-hoc queries import. */
const WRAPPERS = "convex:/_system/repl/wrappers.js";
/** Milliseconds that a query or mutation may wait for nothing that is under way. */
const STUCK_MILLISECONDS = 1000;

const node = process.argv.includes("--node");
const { exit, stdin } = process;
const { setTimeout, clearTimeout, setImmediate, Buffer } = globalThis;
const { stringify, parse } = JSON;

let classes: Pick<typeof globalThis, "Request" | "Response" | "Headers" | "Blob"> | undefined;

/**
 * Node's classes of fetch: those that were there before any code of an action ran. To load them takes a third of what
 * this program takes to start, and queries and mutations need none of them.
 */
function fetchClasses() {
  if (classes === undefined) {
    const { Request, Response, Headers, Blob } = globalThis;
    classes = { Request, Response, Headers, Blob };
  }
  return classes;
}

const calls: Map<number, Call> = new Map();
const codes: Map<number, Code> = new Map();

/** What is sent with the next line. */
let held = "";

/** @param options `isHeld`: nobody waits for it, and there will be another one */
function say(line: object, { isHeld = false }: { isHeld?: boolean } = {}) {
  held += `${stringify(line)}\n`;
  // Each write wakes the server, which costs more than all that is done to make a line.
  if (isHeld) return;
  // The pipe is non-blocking on some systems: a full one says EAGAIN.
  let rest = Buffer.from(held);
  held = "";
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(RESULTS, rest));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
    }
  }
}

const convex = {
  syscall: (op: string, args: string) => currentCall().syscall(op, args),
  asyncSyscall: (op: string, args: string) => currentCall().asyncSyscall(op, args),
  jsSyscall,
};

const NO_BLOB =
  "store() expects a Blob. If you are trying to store a Request, `await request.blob()` will give you the correct input.";

async function jsSyscall(op: string, args: any): Promise<any> {
  const call = currentCall();
  switch (op) {
    case "storage/storeBlob": {
      const { blob, options } = args;
      if (!(blob instanceof fetchClasses().Blob)) throw new Error(NO_BLOB);
      const bytes = Buffer.from(await blob.arrayBuffer()).toString("base64");
      const request = { blob: bytes, contentType: blob.type || null, sha256: options?.sha256 };
      return parse(await call.send("1.0/storageStore", stringify(request)));
    }
    case "storage/getBlob": {
      const found = parse(
        await call.send("1.0/storageGet", stringify({ storageId: args.storageId })),
      );
      if (found === null) return null;
      return new (fetchClasses().Blob)([Buffer.from(found.blob, "base64")], {
        type: found.contentType ?? "",
      });
    }
    default:
      throw new Error(`Unknown operation ${op}`);
  }
}

/** Through the server, which reaches itself and nothing else. */
async function ownFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const call = currentCall();
  const { Request, Response } = fetchClasses();
  const request = new Request(input, init);
  const answer = await call
    .send("fetch", stringify(await describeRequest(request)))
    .catch((error) => {
      throw new TypeError(error.message);
    });
  const { status, headers, body } = parse(answer);
  return new Response(noBody(status) ? null : Buffer.from(body, "base64"), { status, headers });
}

function noBody(status: number) {
  return status === 204 || status === 205 || status === 304;
}

async function describeRequest(request: Request) {
  const body = Buffer.from(await request.arrayBuffer()).toString("base64");
  return { url: request.url, method: request.method, headers: [...request.headers], body };
}

/** @returns what the function returned, or the response */
async function invoke(request: CallRequest): Promise<Json> {
  const { bundle } = request;
  const code = bundle === undefined ? codes.get(request.definition) : oneOff(bundle);
  if (code === undefined) throw new Error("The code of this function has not been loaded.");
  const call = currentCall();
  call.loader = new Loader(code);
  const namespace = await call.loader.load(request.module);
  if (request.kind === "http")
    return await invokeHttp(call, namespace["default"], parse(request.args));
  const registered = namespace[request.name];
  if (bundle !== undefined && registered?.isQuery !== true)
    throw new Error(`${bundle.path} must have a default export of a query`);
  switch (request.kind) {
    case "query":
      return await registered.invokeQuery(request.args);
    case "mutation":
      return await registered.invokeMutation(request.args);
    case "action":
      return await registered.invokeAction(String(request.id), request.args);
  }
}

/** Code that is run once. */
function oneOff({ path, source }: { path: string; source: string }) {
  const libraries = new Map([[WRAPPERS, wrappers(convex)]]);
  return new Code(0, [[path, source]], { node, importDynamically, libraries });
}

/** @param request `route`: the path for the router */
async function invokeHttp(
  call: Call,
  router: any,
  {
    url,
    route,
    method,
    headers,
    body,
  }: {
    url: string;
    route: string;
    method: string;
    headers: [string, string][];
    body: string | null;
  },
) {
  const found = router.lookup(route, method);
  if (found === null) return stringify(null);
  const { Request, Response, Headers } = fetchClasses();
  const init = {
    method,
    headers: new Headers(headers),
    body: body === null ? null : Buffer.from(body, "base64"),
  };
  const [endpoint] = found;
  const response = await endpoint.invokeHttpAction(new Request(url, init));
  if (!(response instanceof Response)) throw new Error("HTTP actions must return a Response");
  return stringify(await respond(call, response));
}

/** What is there at once makes one answer; what takes longer is sent as it comes. */
async function respond(call: Call, response: Response) {
  const head = { status: response.status, headers: [...response.headers] };
  const reader = response.body?.getReader();
  if (reader === undefined) return { ...head, body: "" };
  const started = [];
  // A body that is no stream comes in one part.
  let next = reader.read();
  while (started.length < 2 && (await isSettled(next))) {
    const { done, value } = await next;
    if (done) return { ...head, body: Buffer.concat(started).toString("base64") };
    started.push(bytesOf(value));
    next = reader.read();
  }
  await call.send("http/head", stringify(head));
  let cancelled: Promise<void> | null = null;
  const gone = () => (cancelled = reader.cancel(new Error("The client has gone.")));
  call.send("http/gone", "{}").then(gone, () => {});
  const send = async (bytes: Buffer) => {
    if (cancelled === null)
      await call.send("http/chunk", stringify({ bytes: bytes.toString("base64") }));
  };
  try {
    for (const bytes of started) await send(bytes);
    for (let each = await next; !each.done; each = await reader.read())
      await send(bytesOf(each.value));
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  await cancelled;
  return { ...head, body: null };
}

/** @param value what a stream produced */
function bytesOf(value: unknown) {
  if (!(value instanceof Uint8Array))
    throw new TypeError("The stream of a Response must produce Uint8Arrays");
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** Whether a promise needs nothing more to happen. */
function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([
    settled,
    new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
  ]);
}

async function importDynamically(specifier: string, referrer: string) {
  const { isAction, loader } = currentCall();
  if (!isAction || loader === null) {
    throw new Error(`Can't dynamically import "${specifier}" in a query or mutation`);
  }
  return await loader.importDynamically(specifier, referrer);
}

function start(request: CallRequest) {
  const call = new Call(request, say);
  calls.set(call.id, call);
  if (call.isAction) fetchClasses();
  current.run(call, () => {
    invoke(request).then(
      (value) => end(call, { value }),
      (error) => end(call, { error: report(error) }),
    );
  });
  if (!call.isAction) watch(call, 0);
}

/** What was thrown; a ConvexError carries its data, already as JSON. */
function report(error: unknown) {
  const { text, frames } = describe(error, []);
  let data: unknown;
  try {
    if (
      typeof error === "object" &&
      error !== null &&
      "ConvexErrorSymbol" in error &&
      "data" in error
    ) {
      data = parse(String(error.data));
    }
  } catch {
    // A hostile property: the error is shown without data.
  }
  return data === undefined ? { text, frames } : { text, frames, data };
}

function end(call: Call, outcome: object) {
  if (call.ended) return;
  call.ended = true;
  // What waits for it would keep its instances of the modules: at hundreds of calls a second, most of the heap.
  clearTimeout(call.watch);
  calls.delete(call.id);
  say({ type: "done", call: call.id, heap: getHeapStatistics().used_heap_size, ...outcome });
  if (calls.size === 0) realm.tidy();
}

/**
 * Ends a call that waits for what will never come.
 * @param idle times that it was found so
 */
function watch(call: Call, idle: number) {
  const timer = setTimeout(() => {
    if (call.pending.size === 0 && idle > 0) {
      end(call, {
        error: {
          text: "Error: The function returned a promise that can never resolve.",
          frames: [],
        },
      });
    } else {
      watch(call, call.pending.size === 0 ? idle + 1 : 0);
    }
  }, STUCK_MILLISECONDS / 2);
  call.watch = timer;
  current.run(call, () => timer.unref());
}

process.on("uncaughtException", () => {});
process.on("unhandledRejection", () => {});
recordFrames();
const realm = makeRealm({
  node,
  convex,
  fetch: ownFetch,
  log: (call, line) => say({ type: "log", call: call.id, line }),
});
say({ type: "ready" });
onLines(stdin, (line) => {
  const message = parse(line);
  if (message.type === "code") {
    codes.set(
      message.definition,
      new Code(message.definition, message.modules, { node, importDynamically }),
    );
  } else if (message.type === "call") start(message.request);
  else if (message.type === "reply") calls.get(message.call)?.replied(message.id, message.reply);
});
stdin.on("end", () => exit(0));
