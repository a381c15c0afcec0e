/** Where functions run, call after call: a process that is replaced when it was ended or is used up. */

import { IsolateProcess, LEFT_MEBIBYTES } from "./isolate_process.ts";
import type { CallRequest } from "../inside/call.ts";
import type { Callee, Options, Outcome } from "./isolate_process.ts";

/** What calls have left in a process before its successor is started. */
const PREPARE_MEBIBYTES = 40;

export class FunctionIsolate {
  options: Pick<
    Options,
    "programs" | "node" | "areAlone" | "limit" | "code" | "packages" | "isOpen"
  >;
  /** Gets the calls. */
  #current: IsolateProcess | null = null;
  #successor: IsolateProcess | null = null;
  /** Those that still run too. */
  #processes: Set<IsolateProcess> = new Set();

  constructor(
    options: Pick<
      Options,
      "programs" | "node" | "areAlone" | "limit" | "code" | "packages" | "isOpen"
    >,
  ) {
    this.options = options;
  }

  get isBusy() {
    return [...this.#processes].some((each) => each.isBusy);
  }

  /** Ends all calls; the next one gets a new process. */
  close() {
    for (const each of [...this.#processes]) each.close();
  }

  /** @throws LimitExceeded */
  run(request: CallRequest, callee: Callee): Promise<Outcome> {
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

  /** @param isolate gets no more calls */
  #drop(isolate: IsolateProcess) {
    if (this.#current === isolate) this.#current = null;
    if (this.#successor === isolate) this.#successor = null;
  }

  /**
   * Replaces a process that its calls have used up.
   * @param heap MiB in use
   */
  #renew(isolate: IsolateProcess, heap: number) {
    if (this.#current !== isolate) return;
    const isWorn = isolate.isWorn;
    if (heap > PREPARE_MEBIBYTES || isWorn) this.#successor ??= this.#spawn();
    if (heap < LEFT_MEBIBYTES && !isWorn) return;
    isolate.retire();
  }
}
