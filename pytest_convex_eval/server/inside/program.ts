/**
 * The program of an isolate that runs functions: reads requests from its stdin and writes to descriptor 3, a line
 * of JSON each. Ends with its stdin.
 */

import { hasOwn, parse, stringify, text } from "./captured.ts";
import { Call } from "./call.ts";
import { openChannel } from "./channel.ts";
import { begin, callOf, currentCall, finish, onlyCall, running, within } from "./current.ts";
import { LANGUAGE, MADE_LATE } from "./globals.ts";
import { WATCHED } from "./intrinsics.ts";
import { onLines } from "./lines.ts";
import { Code, Loader } from "./loader.ts";
import { hookLoader } from "./node_builtins.ts";
import { wrappers } from "./one_off.ts";
import { argv, exit, getHeapStatistics, onUncaught, openStdin } from "./own_node.ts";
import { makeRealm } from "./realm.ts";
import { Replacements } from "./replacements.ts";
import { defineForModules } from "./require.ts";
import { describe, recordFrames } from "./stack.ts";
import { ofCalls, refusal } from "./surroundings.ts";
import { makeTimers } from "./timers.ts";
import { unawaited } from "./unawaited.ts";
import type { CallRequest } from "./call.ts";
import type { Json } from "../protocol.ts";

/** What ad-hoc queries import. */
const WRAPPERS = "convex:/_system/repl/wrappers.js";
/** Milliseconds that a function may wait for nothing that is under way. */
const STUCK_MILLISECONDS = 1000;

const node = argv.includes("--node");
const { setTimeout, setInterval, clearTimeout, clearInterval, setImmediate, Buffer } = globalThis;

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

const codes: Code[] = [];
const say = openChannel();
const stdin = openStdin();

const convex = {
  syscall: (op: unknown, args: unknown) => currentCall().syscall(text(op), text(args)),
  asyncSyscall: (op: unknown, args: unknown) => currentCall().asyncSyscall(text(op), text(args)),
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
      call.send(op, "{}").catch(() => {});
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
  const bundle = hasOwn(request, "bundle") ? request.bundle : undefined;
  const code = bundle === undefined ? codes[request.definition] : oneOff(bundle);
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
  begin(call);
  // Before any code of an action ran.
  if (call.isAction && classes === undefined)
    for (const each of Object.values(fetchClasses())) intrinsics.keepWhole(each);
  within(call, () => {
    invoke(request).then(
      (value) => returned(call, value),
      (error) => fail(call, error),
    );
  });
  if (!node) watch(call, 0);
}

/** What was thrown; a ConvexError carries its data, already as JSON. */
function report(error: unknown) {
  const { text: shown, frames } = describe(error, []);
  let data: unknown;
  try {
    if (
      typeof error === "object" &&
      error !== null &&
      "ConvexErrorSymbol" in error &&
      "data" in error
    ) {
      data = parse(text(error.data));
    }
  } catch {
    // A hostile property: the error is shown without data.
  }
  return data === undefined ? { text: shown, frames } : { text: shown, frames, data };
}

/**
 * A function has returned: it ends when what it began in its transaction is done, and when it is known that nothing was
 * rejected that nobody handles. Node tells of that when no microtask is left.
 */
function returned(call: Call, value: Json) {
  if (call.ended) return;
  call.settled = () =>
    setImmediate(() => {
      if (!call.isAction && call.pending.size > 0) return;
      call.settled = null;
      if (call.isAction && !node) {
        const warning = unawaited(call);
        if (warning !== null) log(call, `[WARN] ${warning}`);
      }
      end(call, { value });
    });
  if (call.isAction || call.pending.size === 0) call.settled();
}

function fail(call: Call, error: unknown) {
  end(call, { error: report(error) });
}

function end(call: Call, outcome: object) {
  if (call.ended) return;
  call.ended = true;
  // What waits for it would keep its instances of the modules: at hundreds of calls a second, most of the heap.
  clearTimeout(call.watch);
  const isAlone = finish(call);
  say({ type: "done", call: call.id, heap: getHeapStatistics().used_heap_size, ...outcome });
  if (!isAlone) return;
  replacements.any = false;
  if (!intrinsics.restore()) say({ type: "spoilt" });
}

/**
 * Ends a call that waits for what will never come.
 * @param idle times that it was found so
 */
function watch(call: Call, idle: number) {
  const timer = setTimeout(() => {
    const isIdle = call.pending.size === 0 && call.underWay === 0;
    if (isIdle && idle > 0) {
      end(call, {
        error: { text: "Returned promise will never resolve", frames: [], isOurs: true },
      });
    } else {
      watch(call, isIdle ? idle + 1 : 0);
    }
  }, STUCK_MILLISECONDS / 2);
  call.watch = timer;
  within(call, () => timer.unref());
}

function log(call: Call, line: string) {
  say({ type: "log", call: call.id, line });
}

/** A function that calls of the default runtime have only in actions. */
function fetchOfActions(input: string | URL | Request, init: RequestInit | undefined) {
  if (!currentCall().isAction) throw refusal("fetch()");
  return ownFetch(input, init);
}

onUncaught({
  thrown: (error) => {
    const call = running() ?? onlyCall();
    if (call !== undefined) fail(call, error);
  },
  // Who rejected it is in the context: that of a call which has ended is no other's.
  rejected: (reason) => {
    const call = running();
    if (call !== undefined) fail(call, reason);
  },
});
recordFrames();
const timers = node
  ? { setTimeout, setInterval, clearTimeout, clearInterval }
  : makeTimers((call, error) => fail(call, error));
const { shown, intrinsics } = makeRealm({
  ...ofCalls(log),
  node,
  globals: { Convex: convex, fetch: fetchOfActions, ...timers },
});
if (node) {
  defineForModules();
  hookLoader();
}
for (const name of WATCHED) intrinsics.keepWhole(Reflect.get(globalThis, name));
const replacements = new Replacements(shown);
// What it puts on the global object stays there.
if (node) fetchClasses();
// To describe one of those would have Node make it.
const isLazy = (name: string) => (node ? !LANGUAGE.includes(name) : MADE_LATE.includes(name));
intrinsics.keep(globalThis, Object.getOwnPropertyNames(globalThis).filter(isLazy));
say({ type: "ready" });
onLines(stdin, (line) => {
  const message = parse(line);
  if (message.type === "code") {
    codes[message.definition] = new Code(message.definition, message.modules, {
      node,
      importDynamically,
    });
  } else if (message.type === "call") start(message.request);
  else if (message.type === "reply") {
    const call = callOf(message.call);
    if (call !== undefined) within(call, () => call.replied(message.id, message.reply));
  }
});
stdin.on("end", exit);
