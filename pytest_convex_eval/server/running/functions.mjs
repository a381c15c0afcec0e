/**
 * Running functions: queries and mutations one after another, each in a transaction; actions side by side.
 * @import { Json, Push } from "../protocol.d.ts"
 * @import { Callee, Outcome } from "../isolates/isolate_process.mjs"
 * @import { Caller } from "./identity.mjs"
 * @import { Kind, Target } from "./targets.mjs"
 * @import { Services } from "./services.mjs"
 */

import { APP } from "../push/definitions.mjs";
import { Transaction } from "../database/transaction.mjs";
import { UserError } from "../database/user_error.mjs";
import { integer } from "../values/values.mjs";
import { Checks } from "./checks.mjs";
import { environmentOf } from "./environment.mjs";
import { asFailure, FunctionFailure } from "./failure.mjs";
import { Frame } from "./frame.mjs";
import { FunctionIsolate } from "../isolates/function_isolate.mjs";
import { LimitExceeded } from "../isolates/isolate_process.mjs";
import { syscall } from "./syscalls.mjs";
import { canonical, definitionIndex, definitionOf, display, findTarget, parsePath } from "./targets.mjs";
import { Descriptions } from "./thrown.mjs";

const MAX_DEPTH = 8;

/** Answers to an execution's own requests, by their names. @typedef {Map<string, (args: any) => Json | Promise<Json>>} Operations */
/** @typedef {{ value: Json, logLines: string[], reads: Set<string>, usage?: import("./frame.mjs").Usage }} FunctionResult `reads`: `component/table` */

/**
 * @typedef {object} Invocation
 * @property {Kind | null} kind null: whatever it is
 * @property {string} [component] path of the instance; the app's by default
 * @property {string} path
 * @property {Json} args one object, or a list of it
 * @property {Caller} caller
 * @property {string | null} [scheduledId]
 * @property {(transaction: Transaction, result: FunctionResult) => void} [alongside] done in a mutation's own
 *   transaction when it has succeeded
 * @property {bigint | null} [at] a query's: the timestamp that it sees the database at
 */

export class Functions {
  /** The end of what queries and mutations wait for. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #calls = 0;
  /** Isolates tell calls apart by it. */
  #lastId = 0;
  /** Counts what ended all that ran: none of it may be tried again on what came after. */
  #epoch = 0;
  /** @type {Set<(changed: Set<string>) => void>} */
  #listeners = new Set();

  /** @param {Services} services */
  constructor(services) {
    this.services = services;
    this.checks = new Checks(services);
    this.descriptions = new Descriptions(() => this.push);
    const code = (/** @type {boolean} */ node) => () => this.#code(node);
    const limit = (/** @type {keyof Services["timeLimits"]} */ kind) => () => services.timeLimits[kind];
    const plain = { node: false, code: code(false), packages: () => null };
    const packages = () => services.packages?.folderOf(this.push?.nodeDependencies ?? []) ?? null;
    this.transactions = new FunctionIsolate({ ...plain, areAlone: false, limit: limit("transaction") });
    this.actions = new FunctionIsolate({ ...plain, areAlone: true, limit: limit("action") });
    const isOpen = () => services.isOnline;
    this.nodeActions = new FunctionIsolate({ node: true, areAlone: true, limit: limit("nodeAction"), code: code(true), packages, isOpen });
  }

  /** Ends everything that runs: other code is live, or none. */
  restart() {
    this.#epoch += 1;
    this.descriptions.clear();
    for (const isolate of [this.transactions, this.actions, this.nodeActions]) isolate.close();
  }

  /** Ends the calls that run; processes without one stay. */
  interrupt() {
    this.#epoch += 1;
    for (const isolate of [this.transactions, this.actions, this.nodeActions]) if (isolate.isBusy) isolate.close();
  }

  /** @returns {Push | null} */
  get push() {
    return this.services.push();
  }

  /** How many queries and mutations were run since the last reset: what is random in them follows from their number. */
  get calls() {
    return this.#calls;
  }

  /** Goes on from another process's calls; 0: what is random starts over. @param {number} calls */
  restore(calls) {
    this.#calls = calls;
  }

  /** Tells of what each commit changed. @param {(changed: Set<string>) => void} listener */
  onCommit(listener) {
    this.#listeners.add(listener);
  }

  // ---- From outside -----------------------------------------------------------------------------

  /**
   * @param {Invocation} invocation
   * @returns {Promise<FunctionResult>}
   * @throws {FunctionFailure}
   */
  async run({ kind, component = APP, path, args, caller, scheduledId = null, alongside = () => {}, at = null }) {
    const frame = new Frame(caller, component, scheduledId);
    return await this.#logged(frame, null, async () => {
      const target = this.#lookUp(kind, component, path, caller);
      frame.target = target;
      const checked = this.checks.args(target, args);
      frame.enter(target);
      const acts = target.kind === "action";
      const value = await (acts ? this.#act(frame, checked) : this.#transact(frame, checked, { alongside, at }));
      return this.#result(frame, value);
    });
  }

  /**
   * A request's whole work, kept in the log.
   * @template T @param {Frame} frame @param {string | null} route of an HTTP action @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #logged(frame, route, work) {
    const { log, clock } = this.services;
    const started = performance.now();
    log.begin(frame, route);
    const keep = (/** @type {import("./function_log.mjs").Ending} */ ending) =>
      log.add(frame, route, { now: clock.now(), seconds: (performance.now() - started) / 1000, ending });
    try {
      const result = await work();
      const { status = 404 } = /** @type {any} */ ((route === null ? null : result) ?? {});
      keep({ error: null, ...(route === null ? {} : { status }) });
      return result;
    } catch (error) {
      const failure = asFailure(error);
      const { requestId, logLines, usage } = frame;
      Object.assign(failure, { requestId, logLines, usage });
      keep({ error: failure.text });
      throw failure;
    }
  }

  /** @param {Frame} frame @param {Json} value @returns {FunctionResult} */
  #result(frame, value) {
    return { value, logLines: frame.logLines, reads: frame.transaction?.reads ?? new Set(), usage: frame.usage };
  }

  /**
   * An HTTP action, by the router of a component.
   * @param {{ component: string, request: Json, caller: Caller, operations: Operations }} invocation `operations`: for
   *   responses that are sent in parts
   * @returns {Promise<{ status: number, headers: [string, string][], body: string | null } | null>} null: no such
   *   route; `body` in base64, null: it was sent
   */
  async runHttp({ component, request, caller, operations }) {
    const found = definitionOf(this.push, component);
    if (found === null) throw new FunctionFailure(`Component ${component} is not installed.`);
    const frame = new Frame(caller, component, null);
    const { path: definitionPath } = found;
    const what = { kind: /** @type {const} */ ("http"), definitionPath, module: "http.js", name: "default" };
    const { method, url } = /** @type {any} */ (request);
    return await this.#logged(frame, `${method} ${new URL(url).pathname}`, async () => {
      const args = JSON.stringify(request);
      return /** @type {any} */ (this.#value(await this.#invoke(this.actions, frame, { ...what, args }, operations)));
    });
  }

  /**
   * A query that nobody has pushed.
   * @param {{ component: string, bundle: { path: string, source: string }, args: Json, caller: Caller }} invocation
   * @returns {Promise<FunctionResult>}
   * @throws {FunctionFailure}
   */
  async runOneOff({ component, bundle, args, caller }) {
    const frame = new Frame(caller, component, null);
    const found = definitionOf(this.push, component);
    if (found === null) throw new FunctionFailure(`Component ${component} is not installed.`);
    const what = { kind: /** @type {const} */ ("query"), definitionPath: found.path, module: bundle.path, name: "default", bundle };
    return await this.#logged(frame, null, async () => {
      const run = async (/** @type {Transaction} */ transaction) => {
        frame.transaction = transaction;
        return this.#value(await this.#invoke(this.transactions, frame, { ...what, args: JSON.stringify([args]) }));
      };
      return this.#result(frame, await this.transaction(run, { writes: false }));
    });
  }

  /** @param {Kind | null} kind @param {string} component @param {string} path @param {Caller} caller @returns {Target} */
  #lookUp(kind, component, path, caller) {
    const target = findTarget(this.push, component, path);
    const shown = display(parsePath(path));
    // A function of a library too old to say is callable by everybody.
    const open = component === APP && target?.analyzed.visibility?.kind !== "internal";
    if (target === null || !(open || caller.admin)) {
      if (kind === null) throw new FunctionFailure(`Could not find function for '${shown}'. Did you forget to run \`npx convex dev\`?`);
      throw new FunctionFailure(`Could not find public function for '${shown}'.`);
    }
    this.#checkKind(target, kind);
    return target;
  }

  /** @param {Target} target @param {Kind | null} kind */
  #checkKind(target, kind) {
    if (kind === null || kind === target.kind) return;
    throw new FunctionFailure(
      `Function ${canonical(target)} is registered as ${article(target.kind)} but is being run as ${article(kind)}.`,
    );
  }

  // ---- From functions ---------------------------------------------------------------------------

  /**
   * A function called by another: in the caller's transaction where that has one.
   * @param {Frame} parent
   * @param {{ kind: Kind, component: string, path: string, args: Json, byHandle?: boolean }} call
   * @returns {Promise<Json>}
   * @throws {UserError} with the text of what was thrown
   */
  async runNested(parent, { kind, args, ...address }) {
    const { component } = address;
    const frame = new Frame(parent.caller, component, null, parent);
    try {
      if (frame.depth > MAX_DEPTH) {
        throw new FunctionFailure("Cross component call depth limit exceeded. Do you have an infinite loop in your app?");
      }
      const target = this.findNested(address, parent);
      this.#checkKind(target, kind);
      const checked = this.checks.args(target, args);
      const { transaction } = parent;
      frame.enter(target, transaction);
      if (kind === "action") return await this.#act(frame, checked);
      if (transaction === null) return await this.#transact(frame, checked);
      frame.transaction = transaction;
      const savepoint = transaction.savepoint();
      try {
        return await this.#execute(this.transactions, frame, checked);
      } catch (error) {
        transaction.rollBack(savepoint);
        throw error;
      }
    } catch (error) {
      const failure = asFailure(error);
      throw new UserError(failure.text, failure.data);
    } finally {
      parent.logLines.push(...frame.logLines);
    }
  }

  /** @param {{ component: string, path: string, byHandle?: boolean }} address @param {Frame} parent @returns {Target} */
  findNested({ component, path, byHandle = false }, parent) {
    const target = findTarget(this.push, component, path);
    const isOwn = target?.component === parent.component;
    const within = isOwn || byHandle || target?.analyzed.visibility?.kind !== "internal";
    if (target !== null && within) return target;
    const parsed = parsePath(path);
    if (!definitionOf(this.push, component)?.definition.functions.has(parsed.module)) {
      throw new FunctionFailure(`Couldn't find JavaScript module '${parsed.module}'. Did you forget to run \`npx convex dev\`?`);
    }
    throw new FunctionFailure(`Could not find function for '${display(parsed)}'. Did you forget to run \`npx convex dev\`?`);
  }

  // ---- Transactions -----------------------------------------------------------------------------

  /**
   * Has `work` done alone, in a transaction that is committed when it returns.
   * @template T @param {(transaction: Transaction) => Promise<T> | T} work
   * @param {{ writes?: boolean, at?: bigint | null }} [options] `at`: of the past, where it can't write
   * @returns {Promise<T>}
   */
  transaction(work, { at = null, writes = at === null } = {}) {
    const run = async () => {
      const { tables, clock, history } = this.services;
      const transaction = new Transaction(tables, clock.now());
      transaction.snapshot = at ?? history.timestamp;
      try {
        const value = await (at === null ? work(transaction) : history.at(at, async () => await work(transaction)));
        if (writes) this.#commit(transaction);
        return value;
      } catch (error) {
        transaction.abort();
        throw error;
      }
    };
    const done = this.#turn.then(run, run);
    this.#turn = done.catch(() => {});
    const { journal } = this.services;
    // The next one need not wait for the disk; whoever is told of this one, or of what it read, does.
    return journal === null ? done : done.then(async (value) => (await journal.durable(), value));
  }

  /** @param {Transaction} transaction */
  #commit(transaction) {
    this.services.history.add(transaction);
    const changed = transaction.commit();
    this.services.journal?.commit(transaction, this.#calls);
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed);
  }

  /** @param {Frame} frame @param {Json} args @param {Pick<Invocation, "alongside" | "at">} [invocation] */
  async #transact(frame, args, { alongside = () => {}, at = null } = {}) {
    return await this.transaction(async (transaction) => {
      const value = await this.#attempt(frame, args, transaction);
      alongside(transaction, this.#result(frame, value));
      return value;
    }, { writes: frame.target?.kind === "mutation", at });
  }

  /** @param {Frame} frame @param {Json} args @param {Transaction} transaction */
  async #attempt(frame, args, transaction) {
    frame.transaction = transaction;
    const epoch = this.#epoch;
    const calls = this.#calls;
    try {
      return await this.#execute(this.transactions, frame, args);
    } catch (error) {
      if (epoch !== this.#epoch) throw error;
      // What an earlier call left in the process may be at fault: once more, in a new one.
      const ownFault = !(error instanceof LimitExceeded) || error.reason === "timeout" || error.fresh;
      if (ownFault) throw error;
      transaction.restart();
      frame.restart();
      this.#calls = calls;
      return await this.#execute(this.transactions, frame, args);
    } finally {
      frame.count(transaction);
    }
  }

  /** @param {Frame} frame @param {Json} args */
  #act(frame, args) {
    frame.transaction = null;
    return this.#execute(frame.target?.node ? this.nodeActions : this.actions, frame, args);
  }

  /** @param {FunctionIsolate} isolate @param {Frame} frame @param {Json} args @returns {Promise<Json>} */
  async #execute(isolate, frame, args) {
    const { target } = frame;
    if (target === null) throw new Error("A frame without a function can't be executed.");
    const { kind, definitionPath, module, name } = target;
    try {
      const outcome = await this.#invoke(isolate, frame, { kind, definitionPath, module, name, args: JSON.stringify([args]) });
      return this.checks.result(target, this.#value(outcome));
    } finally {
      // What it began and did not wait for is part of its transaction, and must not go on after it.
      await frame.turn;
    }
  }

  /**
   * @param {FunctionIsolate} isolate @param {Frame} frame
   * @param {{ kind: Kind | "http", definitionPath: string, module: string, name: string, args: string, bundle?: { path: string, source: string } }} what
   * @param {Operations} [operations]
   */
  #invoke(isolate, frame, { definitionPath, ...what }, operations = new Map()) {
    const { push } = this;
    if (push === null) throw new FunctionFailure("Nothing has been pushed to this deployment.");
    const { tables, clock, history } = this.services;
    // Actions have real randomness, and run beside others: they must not count.
    if (isolate === this.transactions) this.#calls += 1;
    /** @type {Callee} */
    const callee = {
      syscall: async (op, args) => {
        const own = operations.get(op);
        return own === undefined ? await syscall(this.services, this, frame, op, args) : JSON.stringify(await own(args));
      },
      log: (line) => frame.logLines.push(line),
      forget: (queryId, taken) => frame.forget(queryId, taken),
    };
    const request = {
      id: ++this.#lastId,
      ...what,
      definition: definitionPath === APP ? 0 : definitionIndex(push, definitionPath),
      now: Math.floor(clock.now()),
      clockOffset: clock.offset,
      isStill: clock.isStill,
      snapshot: JSON.stringify(integer(frame.transaction?.snapshot ?? history.timestamp)),
      seed: (Math.imul(this.#calls, 0x9e3779b1) >>> 0) | 1,
      env: environmentOf(this.services, push, frame.component),
      tables: tables.of(frame.component).map((table) => /** @type {[string, number]} */ ([table.name, table.number])),
    };
    return isolate.run(request, callee);
  }

  /** @param {Outcome} outcome @returns {Json} */
  #value(outcome) {
    if ("value" in outcome) return JSON.parse(outcome.value);
    throw new FunctionFailure(this.descriptions.of(outcome.error), outcome.error.data);
  }

  /** What a new process is given. @param {boolean} node @returns {{ definition: number, modules: [string, string][] }[]} */
  #code(node) {
    const { push } = this;
    if (push === null) return [];
    const wanted = node ? "node" : "isolate";
    return [...push.definitions].map(([path, { modules }]) => ({
      definition: path === APP ? 0 : definitionIndex(push, path),
      modules: [...modules.values()].filter((each) => each.environment === wanted).map(({ path: own, source }) => [own, source]),
    }));
  }
}

/** @param {Kind} kind */
function article(kind) {
  return kind === "action" ? "an action" : `a ${kind}`;
}
