/**
 * A process in which functions run, call after call; see analysis/isolate.mjs for why it is a process.
 * @import { ChildProcess } from "node:child_process"
 * @import { Readable } from "node:stream"
 * @import { Frame, Json } from "../protocol.d.ts"
 * @import { CallRequest } from "./call.mjs"
 */

import path from "node:path";
import { fileURLToPath } from "node:url";

import { cpuSeconds, endedBy, HEAP_MEBIBYTES, residentBytes, RESIDENT_MEBIBYTES, spawnIsolate } from "../analysis/isolate.mjs";
import { UserError } from "../database/user_error.mjs";
import { onLines } from "./lines.mjs";

const PROGRAM = fileURLToPath(new URL("program.mjs", import.meta.url));
const FOLDERS = ["running", "analysis", "values"].map((name) => path.join(path.dirname(PROGRAM), "..", name));
/** The kernel's limit on a process: it is for servers that were killed. */
const MAX_CPU_SECONDS = 600;
const WATCH_MILLISECONDS = 20;
/** Wall seconds for a query or mutation: it binds for code that neither computes nor asks for anything. */
const TRANSACTION_WALL_SECONDS = 15;
/**
 * Calls leave something behind (modules that are no scripts are never freed; see script_module.mjs). So a process
 * is given this much more heap, and is replaced when its calls have left this much; its successor is started a
 * little before.
 */
const LEFT_MEBIBYTES = 64;
const PREPARE_MEBIBYTES = 40;
/** CPU seconds of the process that a syscall's way through the pipes may take (48 µs measured): ours, not the function's. */
const SYSCALL_SECONDS = 0.0001;
/** Node actions have Node's own modules besides, and larger answers. */
const NODE_RESIDENT_MEBIBYTES = 640;

/** What a function threw: its text and its frames in the bundle. @typedef {{ text: string, frames: Frame[], data?: Json }} Thrown */
/** @typedef {{ value: string } | { error: Thrown }} Outcome */
/** @typedef {{ seconds: number, wall: boolean }} TimeLimit `wall`: of the clock, else of CPU */

/** A call was ended because of what it used. */
export class LimitExceeded extends Error {
  /** @param {"timeout" | "memory" | "crashed"} reason @param {boolean} fresh whether the process had run nothing before */
  constructor(reason, fresh) {
    super(reason);
    this.reason = reason;
    this.fresh = fresh;
  }
}

/**
 * @typedef {object} Callee what a running call may ask for
 * @property {(op: string, args: Json) => Promise<string> | string} syscall answers in JSON; raises UserError
 * @property {(line: string) => void} log
 * @property {(queryId: number) => void} forget a query is not read any more
 */

export class FunctionIsolate {
  /** @type {ChildProcess | null} */
  #child = null;
  /** @type {ChildProcess | null} */
  #successor = null;
  /** @type {Map<number, { callee: Callee, resolve: (outcome: Outcome) => void, reject: (error: Error) => void }>} */
  #calls = new Map();
  /** @type {NodeJS.Timeout | null} */
  #watch = null;
  /** @type {"timeout" | "memory" | null} */
  #stopped = null;
  #served = 0;
  #startedCpu = 0;
  #startedWall = 0;
  #syscalls = 0;

  /**
   * @param {() => { definition: number, modules: [string, string][] }[]} code what a new process is given
   * @param {{ node: boolean, limit: TimeLimit }} options
   */
  constructor(code, { node, limit }) {
    this.code = code;
    this.node = node;
    this.limit = limit;
  }

  get isBusy() {
    return this.#calls.size > 0;
  }

  /** Ends the process and all calls in it; the next call gets a new one. */
  close() {
    this.#child?.kill("SIGKILL");
    this.#successor?.kill("SIGKILL");
    this.#child = this.#successor = null;
    this.#failAll("crashed");
  }

  /**
   * @param {CallRequest} request
   * @param {Callee} callee
   * @returns {Promise<Outcome>}
   * @throws {LimitExceeded}
   */
  run(request, callee) {
    const child = (this.#child ??= this.#start());
    return new Promise((resolve, reject) => {
      if (this.#calls.size === 0) this.#startWatch(child);
      this.#calls.set(request.id, { callee, resolve, reject });
      send(child, { type: "call", request });
    });
  }

  #start() {
    this.#stopped = null;
    this.#served = 0;
    const child = this.#successor ?? this.#spawn();
    this.#successor = null;
    return child;
  }

  #spawn() {
    const heap = HEAP_MEBIBYTES + LEFT_MEBIBYTES;
    const child = spawnIsolate(PROGRAM, this.node ? ["--node"] : [], { folders: FOLDERS, cpuSeconds: MAX_CPU_SECONDS, heap });
    const gone = () => {
      if (this.#successor === child) this.#successor = null;
      if (this.#child !== child) return;
      this.#child = null;
      this.#failAll(this.#stopped ?? endedBy(child));
    };
    child.on("exit", gone).on("error", gone);
    onLines(/** @type {Readable} */ (child.stdio[3]), (line) => {
      if (this.#child === child) this.#said(line);
    });
    for (const each of this.code()) send(child, { type: "code", ...each });
    return child;
  }

  /** Replaces the process once its calls have left much behind. @param {number} heap bytes in use */
  #renew(heap) {
    const mebibytes = heap / 1024 / 1024;
    if (mebibytes > PREPARE_MEBIBYTES) this.#successor ??= this.#spawn();
    if (mebibytes < LEFT_MEBIBYTES || this.#calls.size > 0) return;
    const old = this.#child;
    this.#child = null;
    old?.kill("SIGKILL");
  }

  /** @param {string} line */
  #said(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      return; // Code that reached the pipe itself: its call ends with a limit.
    }
    if (message.type === "ready") this.#startedCpu = cpuSeconds(this.#child?.pid) ?? 0;
    const call = this.#calls.get(message.call);
    if (call === undefined) return;
    switch (message.type) {
      case "syscall":
        this.#syscalls += 1;
        void this.#answer(call.callee, message);
        break;
      case "log":
        call.callee.log(String(message.line));
        break;
      case "forget":
        call.callee.forget(message.queryId);
        break;
      case "done":
        this.#calls.delete(message.call);
        this.#served += 1;
        if (this.#calls.size === 0) this.#stopWatch();
        call.resolve("error" in message ? { error: message.error } : { value: String(message.value) });
        this.#renew(Number(message.heap));
        break;
      default:
        break;
    }
  }

  /** @param {Callee} callee @param {{ call: number, id: number, op: string, args: string }} message */
  async #answer(callee, { call, id, op, args }) {
    const child = this.#child;
    let reply;
    try {
      reply = { value: await callee.syscall(op, JSON.parse(args)) };
    } catch (error) {
      if (!(error instanceof UserError)) console.error(error);
      const message = error instanceof Error ? error.message : String(error);
      const data = error instanceof UserError ? error.data : undefined;
      reply = { error: data === undefined ? { message } : { message, data } };
    }
    if (child !== null) send(child, { type: "reply", call, id, reply });
  }

  /** @param {"timeout" | "memory" | "crashed"} reason */
  #failAll(reason) {
    this.#stopWatch();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject } of calls) reject(new LimitExceeded(reason, this.#served === 0));
  }

  /** CPU is that of the process since it was idle. @param {ChildProcess} child */
  #startWatch(child) {
    this.#startedCpu = cpuSeconds(child.pid) ?? 0;
    this.#startedWall = performance.now();
    this.#syscalls = 0;
    const resident = (LEFT_MEBIBYTES + (this.node ? NODE_RESIDENT_MEBIBYTES : RESIDENT_MEBIBYTES)) * 1024 * 1024;
    this.#watch = setInterval(() => {
      const wall = (performance.now() - this.#startedWall) / 1000;
      const cpu = (cpuSeconds(child.pid) ?? this.#startedCpu + wall) - this.#startedCpu;
      const { seconds } = this.limit;
      const allowed = seconds + this.#syscalls * SYSCALL_SECONDS;
      const late = this.limit.wall ? wall > seconds : cpu > allowed || wall > TRANSACTION_WALL_SECONDS;
      const large = (residentBytes(child.pid) ?? 0) > resident;
      if (!late && !large) return;
      this.#stopped = late ? "timeout" : "memory";
      this.#stopWatch();
      child.kill("SIGKILL");
    }, WATCH_MILLISECONDS);
  }

  #stopWatch() {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }
}

/** @param {ChildProcess} child @param {object} message */
function send(child, message) {
  child.stdin?.write(`${JSON.stringify(message)}\n`);
}
