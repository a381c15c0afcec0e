/**
 * Where functions run, call after call: a process that is replaced when it was ended or is used up.
 * @import { CallRequest } from "../inside/call.mjs"
 * @import { Callee, LimitExceeded, Options, Outcome } from "./isolate_process.mjs"
 */

import { IsolateProcess, LEFT_MEBIBYTES } from "./isolate_process.mjs";

/** What calls have left in a process before its successor is started. */
const PREPARE_MEBIBYTES = 40;

export class FunctionIsolate {
  /** Gets the calls. @type {IsolateProcess | null} */
  #current = null;
  /** @type {IsolateProcess | null} */
  #successor = null;
  /** Those that still run too. @type {Set<IsolateProcess>} */
  #processes = new Set();

  /** @param {Pick<Options, "node" | "areAlone" | "limit" | "code" | "packages" | "isOpen">} options */
  constructor(options) {
    this.options = options;
  }

  get isBusy() {
    return [...this.#processes].some((each) => each.isBusy);
  }

  /** Ends all calls; the next one gets a new process. */
  close() {
    for (const each of [...this.#processes]) each.close();
  }

  /**
   * @param {CallRequest} request
   * @param {Callee} callee
   * @returns {Promise<Outcome>}
   * @throws {LimitExceeded}
   */
  run(request, callee) {
    if (this.#current === null) {
      this.#current = this.#successor ?? this.#spawn();
      this.#successor = null;
    }
    return this.#current.run(request, callee);
  }

  #spawn() {
    const isolate = new IsolateProcess({
      ...this.options,
      done: (heap) => this.#renew(isolate, heap),
      retired: () => this.#drop(isolate),
      gone: () => {
        this.#processes.delete(isolate);
        this.#drop(isolate);
      },
    });
    this.#processes.add(isolate);
    return isolate;
  }

  /** @param {IsolateProcess} isolate gets no more calls */
  #drop(isolate) {
    if (this.#current === isolate) this.#current = null;
    if (this.#successor === isolate) this.#successor = null;
  }

  /** Replaces a process that its calls have used up. @param {IsolateProcess} isolate @param {number} heap MiB in use */
  #renew(isolate, heap) {
    if (this.#current !== isolate) return;
    const isWorn = isolate.isWorn;
    if (heap > PREPARE_MEBIBYTES || isWorn) this.#successor ??= this.#spawn();
    if (heap < LEFT_MEBIBYTES && !isWorn) return;
    isolate.retire();
  }
}
