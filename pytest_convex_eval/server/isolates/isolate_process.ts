/** A process in which functions run, and the calls that are in it; see isolate.ts for why it is a process. */

import { endedBy, HEAP_MEBIBYTES, RESIDENT_MEBIBYTES, spawnIsolate } from "./isolate.ts";
import { MAX_LINE_CHARACTERS, newSecret, readMessage } from "./messages.ts";
import { Usage } from "./usage.ts";
import { UserError } from "../database/user_error.ts";
import { onLines } from "../inside/lines.ts";
import type { Programs } from "./programs.ts";
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import type { ThrownInCall as Thrown } from "./messages.ts";
import type { Json } from "../protocol.ts";
import type { CallRequest } from "../inside/call.ts";

/** CPU seconds after which a process gets no more calls. */
const MAX_CPU_SECONDS = 600;
const WATCH_MILLISECONDS = 20;
/**
 * Calls leave something behind (modules that are no scripts are never freed; see script_module.ts). So a process
 * is given this much more heap.
 */
export const LEFT_MEBIBYTES = 64;
/** CPU seconds of the process that a syscall's way through the pipes may take (48 µs measured): ours, not the function's. */
const SYSCALL_SECONDS = 0.0001;
/** Node actions have Node's own modules besides, and larger answers. */
const NODE_RESIDENT_MEBIBYTES = 640;

export type { Thrown };
export type Outcome = { value: string } | { error: Thrown };
/** Seconds: `cpu` of all calls since the process had none, `wall` of one call. */
export type TimeLimit = { cpu: number; wall: number };

/** A call was ended because of what it used. */
export class LimitExceeded extends Error {
  reason: "timeout" | "memory" | "crashed";
  fresh: boolean;
  seconds: number;
  /** @param options `fresh`: the process had run nothing before; `seconds`: the limit that was exceeded */
  constructor(
    reason: "timeout" | "memory" | "crashed",
    { fresh, seconds = 0 }: { fresh: boolean; seconds?: number },
  ) {
    super(reason);
    this.reason = reason;
    this.fresh = fresh;
    this.seconds = seconds;
  }
}

/** what a running call may ask for */
export interface Callee {
  /** Answers in JSON; raises UserError. */
  syscall: (op: string, args: Json) => Promise<string> | string;
  log: (line: string) => void;
  /** A query is not read any more, after so many of the rows sent last. */
  forget: (queryId: number, taken: number) => void;
}

export type Running = {
  callee: Callee;
  started: number;
  resolve: (outcome: Outcome) => void;
  reject: (error: Error) => void;
};

export interface Options {
  programs: Programs;
  node: boolean;
  /** Whether its calls have nothing to do with each other: one that is late ends alone. */
  areAlone: boolean;
  limit: () => TimeLimit;
  /** What the process is given. */
  code: () => { definition: number; modules: [string, string][] }[];
  /** The folder of those that its code can import. */
  packages: () => string | null;
  /** Whether its code has sockets and a temporary folder. */
  isOpen?: () => boolean;
  /** A call has ended. */
  done: (heapMebibytes: number) => void;
  /** It gets no more calls. */
  retired: () => void;
  /** It has ended. */
  gone: () => void;
}

export class IsolateProcess {
  options: Options;
  #calls: Map<number, Running> = new Map();
  #watch: NodeJS.Timeout | null = null;
  #isReady = false;
  /** Whether it gets no more calls, and ends with its last one. */
  #isRetired = false;
  #child: ChildProcess | null;
  #secret = newSecret();
  #usage;
  #served = 0;
  /** CPU seconds that it had used when that was read last: before its last call, or while that ran. */
  #cpu = 0;
  #startedCpu = 0;
  #startedWall = 0;
  #syscalls = 0;

  constructor(options: Options) {
    const { programs, node, limit, code, packages, isOpen = () => false } = options;
    this.options = options;
    const heap = HEAP_MEBIBYTES + LEFT_MEBIBYTES;
    // The kernel's limit is for servers that were killed: it must not end a call that has its time.
    const kernels = Math.ceil(MAX_CPU_SECONDS + limit().wall);
    const child = spawnIsolate(programs, "program", node ? ["--node"] : [], {
      packages: packages(),
      isOpen: isOpen(),
      cpuSeconds: kernels,
      heap,
    });
    this.#child = child;
    this.#usage = new Usage(child.pid);
    const ended = () => this.#end(endedBy(child));
    child.on("exit", ended).on("error", ended);
    const handle = (line: string) => {
      if (this.#child === child) this.#said(line);
    };
    onLines(child.stdio[3] as Readable, handle, {
      most: MAX_LINE_CHARACTERS,
      tooLong: () => this.#end("memory"),
    });
    child.stdin?.write(`${this.#secret}\n`);
    for (const each of code()) this.#send({ type: "code", ...each });
  }

  get isBusy() {
    return this.#calls.size > 0;
  }

  /** Whether it has used as much CPU as a process may, but for what it used since it was looked at last. */
  get isWorn() {
    return this.#cpu > MAX_CPU_SECONDS;
  }

  /** Ends it and all calls in it. */
  close() {
    this.#end("crashed");
  }

  /** It ends with its last call. */
  retire() {
    this.#isRetired = true;
    this.options.retired();
    if (!this.isBusy) this.close();
  }

  /** @throws LimitExceeded */
  run(request: CallRequest, callee: Callee): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (!this.isBusy) this.#startWatch();
      this.#calls.set(request.id, { callee, started: performance.now(), resolve, reject });
      this.#send({ type: "call", request });
    });
  }

  #send(message: object) {
    this.#child?.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  #end(reason: "timeout" | "memory" | "crashed", seconds: number = 0) {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    this.#stopWatch();
    this.#usage.close();
    child.kill("SIGKILL");
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.options.gone();
    for (const { reject } of calls) reject(this.#exceeded(reason, seconds));
  }

  #exceeded(reason: "timeout" | "memory" | "crashed", seconds: number) {
    return new LimitExceeded(reason, { fresh: this.#served === 0, seconds });
  }

  #said(line: string) {
    const message = readMessage(line, this.#secret);
    // Pushed code has got at the pipe: what it ran in can't be told from it any more.
    if (message === null) return this.#end("crashed");
    if (message.type === "ready") return this.#begin();
    if (message.type === "spoilt") return this.retire();
    const call = this.#calls.get(message.call);
    if (call === undefined) return;
    switch (message.type) {
      case "syscall":
        this.#syscalls += 1;
        void this.#answer(call.callee, message);
        break;
      case "log":
        call.callee.log(message.line);
        break;
      case "forget":
        call.callee.forget(message.queryId, message.taken);
        break;
      case "done":
        this.#over(message.call);
        call.resolve("error" in message ? { error: message.error } : { value: message.value });
        this.options.done(message.heap / 1024 / 1024);
        break;
    }
  }

  /** Its own start is not the calls' that wait for it. */
  #begin() {
    this.#isReady = true;
    this.#startedCpu = this.#cpu = this.#usage.cpuSeconds() ?? 0;
    for (const call of this.#calls.values()) call.started = performance.now();
  }

  /** @param id of a call that is over */
  #over(id: number) {
    this.#calls.delete(id);
    this.#served += 1;
    if (this.isBusy) return;
    this.#stopWatch();
    if (this.#isRetired) this.close();
  }

  async #answer(
    callee: Callee,
    { call, id, op, args }: { call: number; id: number; op: string; args: string },
  ) {
    let reply: { value: unknown } | { error: { message: string; data?: Json } };
    try {
      reply = { value: await callee.syscall(op, JSON.parse(args)) };
    } catch (error) {
      if (!(error instanceof UserError)) console.error(error);
      const message = error instanceof Error ? error.message : String(error);
      const data = error instanceof UserError ? error.data : undefined;
      reply = { error: data === undefined ? { message } : { message, data } };
    }
    this.#send({ type: "reply", call, id, reply });
  }

  #startWatch() {
    this.#startedCpu = this.#cpu = this.#usage.cpuSeconds() ?? 0;
    this.#startedWall = performance.now();
    this.#syscalls = 0;
    this.#watch = setInterval(() => this.#check(), WATCH_MILLISECONDS);
  }

  #stopWatch() {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  #check() {
    const { node } = this.options;
    const limit = this.options.limit();
    const wall = (performance.now() - this.#startedWall) / 1000;
    this.#cpu = this.#usage.cpuSeconds() ?? this.#startedCpu + wall;
    const cpu = this.#cpu - this.#startedCpu;
    const resident =
      (LEFT_MEBIBYTES + (node ? NODE_RESIDENT_MEBIBYTES : RESIDENT_MEBIBYTES)) * 1024 * 1024;
    if (cpu > limit.cpu + this.#syscalls * SYSCALL_SECONDS) this.#end("timeout", limit.cpu);
    else if ((this.#usage.residentBytes() ?? 0) > resident) this.#end("memory");
    else this.#endLate(limit.wall);
  }

  /** Ends the calls whose time is over. */
  #endLate(seconds: number) {
    const now = performance.now();
    if (!this.#isReady) return;
    const late = [...this.#calls].filter(([, { started }]) => now - started > seconds * 1000);
    if (late.length === 0) return;
    if (!this.options.areAlone) return this.#end("timeout", seconds);
    const error = this.#exceeded("timeout", seconds);
    // What they have left running must not share a process with calls to come.
    this.retire();
    for (const [id, { reject }] of late) {
      reject(error);
      this.#over(id);
    }
  }
}
