/**
 * A process of its own in which pushed code is evaluated, and the limits it runs under.
 *
 * A process and not a worker thread, as measured on Node 24.19: `new Array(3e7).fill(0)` or
 * `Array.from({length: 1e9})` in a worker with `resourceLimits` aborts the whole process, and a loop that
 * TurboFan compiled without stack checks (`for (;;) a.push(new Array(1000).fill(1))`) survives
 * `terminate()` and grew to 13 GB. SIGKILL ends all of them, and the server never evaluates what it serves.
 *
 * The process has an empty environment and Node's permission model: no file but our own modules, no
 * child process, no worker, no addon, no inspector. That model is a seat belt and no sandbox, and does
 * not cover sockets; see inside/network.ts, and namespaces.ts for what the kernel does.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { MAX_LINE_CHARACTERS, newSecret, readFinding } from "./messages.ts";
import { withoutNetwork } from "./namespaces.ts";
import { Usage } from "./usage.ts";
import { onLines } from "../inside/lines.ts";
import type { ChildProcess } from "node:child_process";
import type { Programs } from "./programs.ts";
import type { Readable } from "node:stream";
import type { Failure, Unit, UnitValue } from "../protocol.ts";

/** Seconds of CPU that one module's import may take (the backend's limit). */
export const IMPORT_SECONDS = 4;
/** The heap of the backend's isolates, in MiB; as much again is allowed in array buffers. */
export const HEAP_MEBIBYTES = 64;

/** Wall seconds for one module: it binds for code that waits without using CPU, and on no busy machine for other code. */
const IMPORT_WALL_SECONDS = 60;
/** What Node itself keeps resident (55 MB measured), plus heap, buffers, and room for V8's own. */
export const RESIDENT_MEBIBYTES = 320;
const WATCH_MILLISECONDS = 20;
const MAX_CPU_SECONDS = 60;
/** Unread for this long, a spare process is ended. */
const SPARE_MILLISECONDS = 30_000;

/** Temporary folders of isolates that still run. */
const scratches: Set<string> = new Set();
process.on("exit", () => scratches.forEach(removeScratch));

export type Outcome = { values: UnitValue[]; failure: Failure | null };

/** Starts isolates, one a use, and ends them. */
export class Isolates {
  readonly programs: Programs;
  #running: Set<ChildProcess> = new Set();
  #spare: { child: ChildProcess; timer: NodeJS.Timeout } | null = null;

  constructor(programs: Programs) {
    this.programs = programs;
  }

  /** Starts the process that the next evaluation will take: half of what one costs is its start. */
  prepare() {
    if (this.#spare !== null) return;
    const child = this.#spawn([]);
    const timer = setTimeout(() => this.#dropSpare(), SPARE_MILLISECONDS);
    timer.unref();
    this.#spare = { child, timer };
  }

  /** Ends everything that runs. */
  close() {
    this.#dropSpare();
    for (const child of this.#running) child.kill("SIGKILL");
  }

  /**
   * The values of the units, up to the first that has none.
   * @param options `node`: with Node's builtins, for "use node"
   * modules; `packages`: the folder of those that they can import
   */
  async evaluate(
    units: Unit[],
    { node = false, packages = null }: { node?: boolean; packages?: string | null } = {},
  ): Promise<Outcome> {
    if (units.length === 0) return { values: [], failure: null };
    const spare = node ? null : this.#spare;
    let child = spare?.child;
    if (spare !== null) {
      clearTimeout(spare.timer);
      this.#spare = null;
    }
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      child = this.#spawn(node ? ["--node"] : [], packages);
    }
    try {
      return await converse(child, units);
    } finally {
      child.kill("SIGKILL");
    }
  }

  #dropSpare() {
    if (this.#spare === null) return;
    clearTimeout(this.#spare.timer);
    this.#spare.child.kill("SIGKILL");
    this.#spare = null;
  }

  #spawn(args: string[], packages: string | null = null) {
    const limits = { cpuSeconds: MAX_CPU_SECONDS, heap: HEAP_MEBIBYTES };
    const child = spawnIsolate(this.programs, "evaluator", args, { packages, ...limits });
    this.#running.add(child);
    child.on("exit", () => this.#running.delete(child));
    child.on("error", () => this.#running.delete(child));
    return child;
  }
}

/**
 * Starts a program of ours in which pushed code will run: its stdin is a pipe from here, descriptor 3 one to here.
 * @param options `packages`: the folder of those that pushed code can import; `isOpen`: it has sockets, and a temporary
 * folder of its own; `cpuSeconds`: the kernel's limit, which outlives this process; `heap` in MiB
 */
export function spawnIsolate(
  programs: Programs,
  program: "program" | "evaluator",
  args: string[],
  {
    packages,
    isOpen = false,
    cpuSeconds,
    heap,
  }: { packages: string | null; isOpen?: boolean; cpuSeconds: number; heap: number },
) {
  const scratch = isOpen ? makeScratch() : null;
  const node = [
    ...(isOpen ? [] : withoutNetwork()),
    process.execPath,
    "--permission",
    ...[programs.folder, ...(packages === null ? [] : [packages])].map(
      (folder) => `--allow-fs-read=${folder}${path.sep}*`,
    ),
    ...(scratch === null
      ? []
      : ["read", "write"].map((right) => `--allow-fs-${right}=${scratch}${path.sep}*`)),
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    `--max-old-space-size=${heap}`,
    "--max-semi-space-size=8",
    "--stack-size=900",
    ...(args.includes("--node") ? [] : ["--disallow-code-generation-from-strings"]),
    programs.path(program),
    ...args,
    ...(packages === null ? [] : [`--packages=${packages}`]),
    ...(isOpen ? ["--open"] : []),
  ];
  // No core dump of an abort, and an end to a loop whose server was killed.
  const limited = `ulimit -c 0; ulimit -t ${cpuSeconds}; exec "$@"`;
  const child = spawn("/bin/sh", ["-c", limited, "sh", ...node], {
    cwd: programs.folder,
    env: scratch === null ? {} : { TMPDIR: scratch },
    stdio: ["pipe", "ignore", "ignore", "pipe"],
  });
  child.stdin?.on("error", () => {});
  if (scratch !== null) child.on("exit", () => removeScratch(scratch));
  return child;
}

/** @returns as the permission model compares paths: without links */
function makeScratch(): string {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), "convex-eval-action-")));
  scratches.add(folder);
  return folder;
}

function removeScratch(folder: string) {
  scratches.delete(folder);
  rmSync(folder, { recursive: true, force: true });
}

/** By what a process ended, as far as that says it. */
export function endedBy(child: ChildProcess) {
  // V8 aborts where the heap can't grow; Node exits so when its own allocation fails.
  const memory =
    child.signalCode === "SIGABRT" || child.signalCode === "SIGTRAP" || child.exitCode === 134;
  return memory ? "memory" : child.signalCode === "SIGXCPU" ? "timeout" : "crashed";
}

async function converse(child: ChildProcess, units: Unit[]): Promise<Outcome> {
  const secret = newSecret();
  const values: UnitValue[] = [];
  let failure: Failure | null = null;
  let at = { unit: 0, module: "" };
  let stopped: "timeout" | "memory" | null = null;
  const stop = (reason: "timeout" | "memory") => {
    stopped ??= reason;
    child.kill("SIGKILL");
  };
  const watch = watchLimits(child, stop);
  const exited = new Promise<false>((resolve) => {
    const gone = () => resolve(false);
    if (child.exitCode !== null || child.signalCode !== null) gone();
    // Not `exit`: what it said last is read until then.
    child.once("close", gone);
    child.once("error", gone);
  });
  let received = 0;
  const ended = new Promise<true>((resolve) => {
    const handle = (line: string) => {
      const said = readFinding(line, secret);
      received += line.length;
      // Pushed code has got at the pipe, or says more than there can be to say of it.
      if (said === null) child.kill("SIGKILL");
      else if (received > MAX_LINE_CHARACTERS) stop("memory");
      else if (said.type === "entered") {
        at = { unit: said.unit, module: said.module };
        watch.entered();
      } else if (said.type === "value") values[said.unit] = said.value;
      else if (said.type === "failed") failure = said.failure;
      else resolve(true);
    };
    const results = child.stdio[3] as Readable;
    onLines(results, handle, { most: MAX_LINE_CHARACTERS, tooLong: () => stop("memory") });
  });
  child.stdin?.end(`${secret}\n${JSON.stringify({ units })}`);
  const isWhole = await Promise.race([ended, exited]);
  watch.close();
  if (isWhole) return { values, failure };
  return { values, failure: { reason: stopped ?? endedBy(child), ...at } };
}

/**
 * Calls `stop` once when the child uses more than it may. Memory and CPU are read from /proc; without
 * it, V8's own heap limit and the wall clock remain.
 */
function watchLimits(child: ChildProcess, stop: (reason: "timeout" | "memory") => void) {
  const usage = new Usage(child.pid);
  let startedCpu = usage.cpuSeconds();
  let startedWall = performance.now();
  const timer = setInterval(() => {
    const wall = (performance.now() - startedWall) / 1000;
    const cpu = usage.cpuSeconds();
    const used = cpu === null || startedCpu === null ? wall : cpu - startedCpu;
    if (used > IMPORT_SECONDS || wall > IMPORT_WALL_SECONDS) stop("timeout");
    else if ((usage.residentBytes() ?? 0) > RESIDENT_MEBIBYTES * 1024 * 1024) stop("memory");
    else return;
    clearInterval(timer);
  }, WATCH_MILLISECONDS);
  return {
    entered: () => {
      startedCpu = usage.cpuSeconds();
      startedWall = performance.now();
    },
    close: () => {
      clearInterval(timer);
      usage.close();
    },
  };
}
