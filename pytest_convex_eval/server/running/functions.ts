/** Running functions: queries and mutations one after another, each in a transaction; actions side by side. */

import { APP } from "../push/definitions.ts";
import { Transaction } from "../database/transaction.ts";
import { UserError } from "../database/user_error.ts";
import { integer, isPending, resolved } from "../values/values.ts";
import { Checks } from "./checks.ts";
import { environmentOf } from "./environment.ts";
import { asFailure, FunctionFailure } from "./failure.ts";
import { Frame } from "./frame.ts";
import { FunctionIsolate } from "../isolates/function_isolate.ts";
import { LimitExceeded } from "../isolates/isolate_process.ts";
import { syscall } from "./syscalls.ts";
import {
  canonical,
  definitionIndex,
  definitionOf,
  findTarget,
  parsePath,
  shown,
} from "./targets.ts";
import { Descriptions } from "./thrown.ts";
import type { Json, Push } from "../protocol.ts";
import type { Callee, Outcome } from "../isolates/isolate_process.ts";
import type { Caller } from "./identity.ts";
import type { Kind, Target } from "./targets.ts";
import type { Services } from "./services.ts";

const MAX_DEPTH = 8;
const KINDS: Record<Kind, string> = { query: "Query", mutation: "Mutation", action: "Action" };

/** Answers to an execution's own requests, by their names. */
export type Operations = Map<string, (args: any) => Json | Promise<Json>>;
/** `reads`: `component/table` */
export type FunctionResult = {
  value: Json;
  logLines: string[];
  reads: Set<string>;
  usage?: import("./frame.ts").Usage;
};

export interface Invocation {
  /** Null: whatever it is. */
  kind: Kind | null;
  /** Path of the instance; the app's by default. */
  component?: string;
  path: string;
  /** One object, or a list of it. */
  args: Json;
  caller: Caller;
  scheduledId?: string | null;
  /** Done in a mutation's own transaction when it has succeeded. */
  alongside?: (transaction: Transaction, result: FunctionResult) => void;
  /** A query's: the timestamp that it sees the database at. */
  at?: bigint | null;
}

export class Functions {
  services: Services;
  checks: Checks;
  descriptions: Descriptions;
  transactions: FunctionIsolate;
  actions: FunctionIsolate;
  nodeActions: FunctionIsolate;
  /** The end of what queries and mutations wait for. */
  #turn: Promise<unknown> = Promise.resolve();
  #calls = 0;
  /** Isolates tell calls apart by it. */
  #lastId = 0;
  /** Counts what ended all that ran: none of it may be tried again on what came after. */
  #epoch = 0;
  #listeners: Set<(changed: Set<string>) => void> = new Set();

  constructor(services: Services) {
    this.services = services;
    this.checks = new Checks(services);
    this.descriptions = new Descriptions(() => this.push);
    const code = (node: boolean) => () => this.#code(node);
    const limit = (kind: keyof Services["timeLimits"]) => () => services.timeLimits[kind];
    const { programs } = services;
    const plain = { programs, node: false, code: code(false), packages: () => null };
    const packages = () => services.packages?.folderOf(this.push?.nodeDependencies ?? []) ?? null;
    this.transactions = new FunctionIsolate({
      ...plain,
      areAlone: false,
      limit: limit("transaction"),
    });
    this.actions = new FunctionIsolate({ ...plain, areAlone: true, limit: limit("action") });
    const isOpen = () => services.isOnline;
    this.nodeActions = new FunctionIsolate({
      programs,
      node: true,
      areAlone: true,
      limit: limit("nodeAction"),
      code: code(true),
      packages,
      isOpen,
    });
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
    for (const isolate of [this.transactions, this.actions, this.nodeActions])
      if (isolate.isBusy) isolate.close();
  }

  get push(): Push | null {
    return this.services.push();
  }

  /** How many queries and mutations were run since the last reset: what is random in them follows from their number. */
  get calls() {
    return this.#calls;
  }

  /** Goes on from another process's calls; 0: what is random starts over. */
  restore(calls: number) {
    this.#calls = calls;
  }

  /** Tells of what each commit changed. */
  onCommit(listener: (changed: Set<string>) => void) {
    this.#listeners.add(listener);
  }

  // ---- From outside -----------------------------------------------------------------------------

  /** @throws FunctionFailure */
  async run({
    kind,
    component = APP,
    path,
    args,
    caller,
    scheduledId = null,
    alongside = () => {},
    at = null,
  }: Invocation): Promise<FunctionResult> {
    const frame = new Frame(caller, component, scheduledId);
    return await this.#logged(frame, null, async () => {
      const target = this.#lookUp(kind, component, path, caller);
      frame.target = target;
      const checked = this.checks.args(target, args);
      frame.enter(target);
      const acts = target.kind === "action";
      const value = await (acts
        ? this.#act(frame, checked)
        : this.#transact(frame, checked, { alongside, at }));
      return this.#result(frame, value);
    });
  }

  /**
   * A request's whole work, kept in the log.
   * @param route of an HTTP action
   */
  async #logged<T>(frame: Frame, route: string | null, work: () => Promise<T>): Promise<T> {
    const { log, clock } = this.services;
    const started = performance.now();
    log.begin(frame, route);
    const keep = (ending: import("./function_log.ts").Ending) =>
      log.add(frame, route, {
        now: clock.now(),
        seconds: (performance.now() - started) / 1000,
        ending,
      });
    try {
      const result = await work();
      const { status = 404 } = ((route === null ? null : result) ?? {}) as any;
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

  #result(frame: Frame, value: Json): FunctionResult {
    return {
      value,
      logLines: frame.logLines,
      reads: frame.transaction?.reads ?? new Set(),
      usage: frame.usage,
    };
  }

  /**
   * An HTTP action, by the router of a component.
   * @param invocation `operations`: for
   * responses that are sent in parts
   * @returns null: no such
   * route; `body` in base64, null: it was sent
   */
  async runHttp({
    component,
    request,
    caller,
    operations,
  }: {
    component: string;
    request: Json;
    caller: Caller;
    operations: Operations;
  }): Promise<{ status: number; headers: [string, string][]; body: string | null } | null> {
    const found = definitionOf(this.push, component);
    if (found === null) throw new FunctionFailure(`Component ${component} is not installed.`);
    const frame = new Frame(caller, component, null);
    const { path: definitionPath } = found;
    const what = { kind: "http" as const, definitionPath, module: "http.js", name: "default" };
    const { method, url } = request as any;
    return await this.#logged(frame, `${method} ${new URL(url).pathname}`, async () => {
      const args = JSON.stringify(request);
      return this.#value(
        await this.#invoke(this.actions, frame, { ...what, args }, operations),
      ) as any;
    });
  }

  /** A query that nobody has pushed. @throws FunctionFailure */
  async runOneOff({
    component,
    bundle,
    args,
    caller,
  }: {
    component: string;
    bundle: { path: string; source: string };
    args: Json;
    caller: Caller;
  }): Promise<FunctionResult> {
    const frame = new Frame(caller, component, null);
    const found = definitionOf(this.push, component);
    if (found === null) throw new FunctionFailure(`Component ${component} is not installed.`);
    const what = {
      kind: "query" as const,
      definitionPath: found.path,
      module: bundle.path,
      name: "default",
      bundle,
    };
    return await this.#logged(frame, null, async () => {
      const run = async (transaction: Transaction) => {
        frame.transaction = transaction;
        return this.#value(
          await this.#invoke(this.transactions, frame, { ...what, args: JSON.stringify([args]) }),
        );
      };
      return this.#result(frame, await this.transaction(run, { writes: false }));
    });
  }

  #lookUp(kind: Kind | null, component: string, path: string, caller: Caller): Target {
    const target = findTarget(this.push, component, path);
    const name = shown(parsePath(path));
    // A function of a library too old to say is callable by everybody.
    const open = component === APP && target?.analyzed.visibility?.kind !== "internal";
    if (target === null || !(open || caller.admin)) {
      if (kind === null)
        throw new FunctionFailure(
          `Could not find function for '${name}'. Did you forget to run \`npx convex dev\`?`,
        );
      throw new FunctionFailure(`Could not find public function for '${name}'.`);
    }
    this.#checkKind(target, kind);
    return target;
  }

  #checkKind(target: Target, kind: Kind | null) {
    if (kind === null || kind === target.kind) return;
    throw new FunctionFailure(
      `Trying to execute ${canonical(target)} as ${KINDS[kind]}, but it is defined as ${KINDS[target.kind]}.`,
    );
  }

  // ---- From functions ---------------------------------------------------------------------------

  /**
   * A function called by another: in the caller's transaction where that has one.
   * @throws UserError with the text of what was thrown
   */
  async runNested(
    parent: Frame,
    {
      kind,
      args,
      ...address
    }: { kind: Kind; component: string; path: string; args: Json; byHandle?: boolean },
  ): Promise<Json> {
    const { component } = address;
    const frame = new Frame(parent.caller, component, null, parent);
    try {
      if (frame.depth > MAX_DEPTH) {
        throw new FunctionFailure(
          "Cross component call depth limit exceeded. Do you have an infinite loop in your app?",
        );
      }
      const target = this.findNested(address, parent);
      this.#checkKind(target, kind);
      const { transaction } = parent;
      const checked = this.checks.args(target, [args], { commitTs: transaction !== null });
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

  findNested(
    { component, path, byHandle = false }: { component: string; path: string; byHandle?: boolean },
    parent: Frame,
  ): Target {
    const target = findTarget(this.push, component, path);
    const isOwn = target?.component === parent.component;
    const within = isOwn || byHandle || target?.analyzed.visibility?.kind !== "internal";
    if (target !== null && within) return target;
    const parsed = parsePath(path);
    if (!definitionOf(this.push, component)?.definition.functions.has(parsed.module)) {
      throw new FunctionFailure(
        `Couldn't find JavaScript module '${parsed.module}'. Did you forget to run \`npx convex dev\`?`,
      );
    }
    throw new FunctionFailure(
      `Could not find function for '${shown(parsed)}'. Did you forget to run \`npx convex dev\`?`,
    );
  }

  // ---- Transactions -----------------------------------------------------------------------------

  /**
   * Has `work` done alone, in a transaction that is committed when it returns.
   * @param options `at`: of the past, where it can't write
   */
  transaction<T>(
    work: (transaction: Transaction) => Promise<T> | T,
    { at = null, writes = at === null }: { writes?: boolean; at?: bigint | null } = {},
  ): Promise<T> {
    const run = async () => {
      const { tables, clock, history } = this.services;
      const transaction = new Transaction(tables, clock.now());
      transaction.snapshot = at ?? history.timestamp;
      try {
        const value = await (at === null
          ? work(transaction)
          : history.at(at, async () => await work(transaction)));
        if (writes) this.#commit(transaction);
        return value;
      } catch (error) {
        transaction.abort();
        history.release();
        throw error;
      }
    };
    const done = this.#turn.then(run, run);
    this.#turn = done.catch(() => {});
    const { journal } = this.services;
    // The next one need not wait for the disk; whoever is told of this one, or of what it read, does.
    if (journal === null) return done;
    return done.then(async (value) => {
      await journal.durable();
      return value;
    });
  }

  #commit(transaction: Transaction) {
    this.services.history.add(transaction);
    const changed = transaction.commit();
    this.services.journal?.commit(transaction, this.#calls);
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed);
  }

  async #transact(
    frame: Frame,
    args: Json[],
    { alongside = () => {}, at = null }: Pick<Invocation, "alongside" | "at"> = {},
  ) {
    return await this.transaction(
      async (transaction) => {
        const value = this.#resolve(await this.#attempt(frame, args, transaction), transaction);
        alongside(transaction, this.#result(frame, value));
        return value;
      },
      { writes: frame.target?.kind === "mutation", at },
    );
  }

  /** With the timestamp of its commit in what a mutation wrote and gives back, where that stands for it. */
  #resolve(value: Json, transaction: Transaction) {
    if (!transaction.isPending && !isPending(value)) return value;
    const timestamp = this.services.history.reserve();
    transaction.resolve(timestamp);
    return resolved(value, timestamp);
  }

  async #attempt(frame: Frame, args: Json[], transaction: Transaction) {
    frame.transaction = transaction;
    const epoch = this.#epoch;
    const calls = this.#calls;
    try {
      return await this.#execute(this.transactions, frame, args);
    } catch (error) {
      if (epoch !== this.#epoch) throw error;
      // What an earlier call left in the process may be at fault: once more, in a new one.
      const ownFault =
        !(error instanceof LimitExceeded) || error.reason === "timeout" || error.fresh;
      if (ownFault) throw error;
      transaction.restart();
      frame.restart();
      this.#calls = calls;
      return await this.#execute(this.transactions, frame, args);
    } finally {
      frame.count(transaction);
    }
  }

  #act(frame: Frame, args: Json[]) {
    frame.transaction = null;
    return this.#execute(frame.target?.node ? this.nodeActions : this.actions, frame, args);
  }

  async #execute(isolate: FunctionIsolate, frame: Frame, args: Json[]): Promise<Json> {
    const { target } = frame;
    if (target === null) throw new Error("A frame without a function can't be executed.");
    const { kind, definitionPath, module, name } = target;
    try {
      const outcome = await this.#invoke(isolate, frame, {
        kind,
        definitionPath,
        module,
        name,
        args: JSON.stringify(args),
      });
      // What a mutation gives back may hold the timestamp of its commit, and so may what it is given by another.
      const isPart = kind === "mutation" || frame.depth > 0;
      const accepted = { commitTs: frame.transaction !== null && isPart };
      return this.checks.result(target, this.#value(outcome), accepted);
    } finally {
      // What it began and did not wait for is part of its transaction, and must not go on after it.
      await frame.turn;
    }
  }

  #invoke(
    isolate: FunctionIsolate,
    frame: Frame,
    {
      definitionPath,
      ...what
    }: {
      kind: Kind | "http";
      definitionPath: string;
      module: string;
      name: string;
      args: string;
      bundle?: { path: string; source: string };
    },
    operations: Operations = new Map(),
  ) {
    const { push } = this;
    if (push === null) throw new FunctionFailure("Nothing has been pushed to this deployment.");
    const { tables, clock, history } = this.services;
    // Actions have real randomness, and run beside others: they must not count.
    if (isolate === this.transactions) this.#calls += 1;
    const callee: Callee = {
      syscall: async (op, args) => {
        const own = operations.get(op);
        return own === undefined
          ? await syscall(this.services, this, frame, op, args)
          : JSON.stringify(await own(args));
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
      tables: tables
        .of(frame.component)
        .map((table) => [table.name, table.number] as [string, number]),
    };
    return isolate.run(request, callee);
  }

  #value(outcome: Outcome): Json {
    if ("error" in outcome) {
      const { frames, data } = outcome.error;
      throw new FunctionFailure(this.descriptions.of(outcome.error), data, {
        hasStack: frames.length > 0,
      });
    }
    try {
      return JSON.parse(outcome.value);
    } catch {
      // Only of what is made by hand in the form of a function.
      throw new FunctionFailure("The function's result is not JSON");
    }
  }

  /** What a new process is given. */
  #code(node: boolean): { definition: number; modules: [string, string][] }[] {
    const { push } = this;
    if (push === null) return [];
    const wanted = node ? "node" : "isolate";
    return [...push.definitions].map(([path, { modules }]) => ({
      definition: path === APP ? 0 : definitionIndex(push, path),
      modules: [...modules.values()]
        .filter((each) => each.environment === wanted)
        .map(({ path: own, source }) => [own, source]),
    }));
  }
}
