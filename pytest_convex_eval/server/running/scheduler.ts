/**
 * What runs later: scheduled functions (rows of `_scheduled_functions`) and cron jobs. In real time, or at once and
 * in order when the clock is moved.
 */

import { instances } from "../push/diffs.ts";
import { invalidArgument } from "../database/documents.ts";
import { SCHEDULED } from "../database/tables.ts";
import { decodingProblem } from "../database/transaction.ts";
import { UserError } from "../database/user_error.ts";
import { displaySize, parseValue, sizeOf, ValueError } from "../values/values.ts";
import { nextTime } from "./cron_times.ts";
import { asFailure } from "./failure.ts";
import { SYSTEM } from "./identity.ts";
import { canonical, definitionOf, findTarget, parsePath, resolveAddress } from "./targets.ts";
import type { Cron, Json, Push } from "../protocol.ts";
import type { Document } from "../database/sorted_index.ts";
import type { Transaction } from "../database/transaction.ts";
import type { SavedCron, SavedJob } from "../persistence/journal.ts";
import type { Frame } from "./frame.ts";
import type { Services } from "./services.ts";

const MAX_ARGUMENT_BYTES = 4 * 1024 * 1024;
const FIVE_YEARS = 5 * 365 * 24 * 3600 * 1000;
/** The longest that a timer of Node's can wait. */
const MAX_TIMER = 2 ** 31 - 1;

export type Due = { time: number; order: number; run: () => Promise<void> };
/** `owner`: the component whose row it is */
export type Job = { component: string; path: string; owner: string; order: number };
export type Timer = { component: string; cron: Cron; next: number | null; order: number };

export class Scheduler {
  services: Services;
  /** pending ones, by the id of their row */
  #jobs: Map<string, Job> = new Map();
  /** by component and name */
  #crons: Map<string, Timer> = new Map();
  #order = 0;
  #timer: NodeJS.Timeout | null = null;
  #running: Set<Promise<void>> = new Set();
  #advances: Promise<unknown> = Promise.resolve();
  #held = false;
  #generation = 0;

  constructor(services: Services) {
    this.services = services;
  }

  /** Forgets what was scheduled; cron jobs start over. */
  reset(push: Push | null) {
    this.#generation += 1;
    this.#jobs.clear();
    this.#crons.clear();
    this.#running.clear();
    this.#order = 0;
    this.#held = false;
    // Nothing was pushed just now, and what comes next must not race with a cron job's first run.
    this.usePush(push, { atOnce: false });
  }

  /**
   * Cron jobs that did not change go on.
   * @param options whether an interval's first run is at once
   */
  usePush(push: Push | null, { atOnce }: { atOnce: boolean } = { atOnce: true }) {
    const now = this.services.clock.now();
    const crons: Map<string, Timer> = new Map();
    for (const { componentPath, definitionPath } of push === null ? [] : instances(push.tree)) {
      for (const cron of push?.definitions.get(definitionPath)?.functions.get("crons.js")?.crons ??
        []) {
        const key = JSON.stringify([componentPath, cron.name]);
        const known = this.#crons.get(key);
        const same = known !== undefined && JSON.stringify(known.cron) === JSON.stringify(cron);
        const next =
          cron.schedule.type === "interval" && atOnce ? now : nextTime(cron.schedule, now);
        crons.set(
          key,
          same ? known : { component: componentPath, cron, next, order: this.#order++ },
        );
      }
    }
    this.#crons = crons;
    this.#arm();
  }

  crons(): Timer[] {
    return [...this.#crons.values()];
  }

  /** Starts nothing until `resume`. */
  pause() {
    this.#held = true;
    this.#disarm();
  }

  resume() {
    this.#held = false;
    this.#arm();
  }

  timers(): Iterable<[string, Timer]> {
    return this.#crons;
  }

  /** Cron jobs as they were; one that was missed, however often, runs once at once. */
  restoreCrons(crons: [string, SavedCron][]) {
    const now = this.services.clock.now();
    for (const [key, { component, cron, next }] of crons) {
      this.#crons.set(key, {
        component,
        cron,
        next: next !== null && next < now ? now : next,
        order: this.#order++,
      });
    }
  }

  /**
   * Goes on with what another process had scheduled. What it was in the middle of: a mutation was not committed, or it
   * would be over; whether an action did what it was to do can't be known, and it must not run twice.
   */
  async restoreJobs(jobs: [string, SavedJob][]) {
    await this.services.functions.transaction((transaction) => {
      for (const [id, job] of jobs) {
        const row = this.#row(transaction, job.owner, id);
        const state = row === null ? null : stateOf(row);
        if (row !== null && state === "inProgress") {
          const wasAction =
            findTarget(this.services.push(), job.component, job.path)?.kind === "action";
          const error = "The deployment was stopped while the action ran.";
          this.#setState(
            transaction,
            job.owner,
            row,
            wasAction ? { kind: "failed", error } : { kind: "pending" },
          );
          if (wasAction) continue;
        } else if (state !== "pending") {
          transaction.afterwards(() => this.services.journal?.jobOver(id));
          continue;
        }
        transaction.afterwards(() => this.#jobs.set(id, { ...job, order: this.#order++ }));
      }
      transaction.afterwards(() => this.#arm());
    });
  }

  // ---- From functions ---------------------------------------------------------------------------

  /**
   * @param request `ts` in seconds
   * @returns the id of the row
   */
  schedule(
    transaction: Transaction,
    frame: Frame,
    request: { ts: number; args: Json; [address: string]: Json },
  ): string {
    const push = this.services.push();
    const { component, path } = resolveAddress(push, frame.component, request);
    const target = findTarget(push, component, path);
    const { module, name } = parsePath(path);
    if (target === null) {
      const exists = definitionOf(push, component)?.definition.functions.has(module);
      throw new UserError(
        exists
          ? `Attempted to schedule function, but no exported function ${name} found in the file: ${module}. Did you forget to export it?`
          : `Attempted to schedule function at nonexistent path: ${module}`,
      );
    }
    const args = argumentOf(request.args);
    const size = sizeOf(args);
    if (size > MAX_ARGUMENT_BYTES) {
      throw new UserError(
        `Arguments for ${canonical(target)} are too large to be scheduled (actual: ${displaySize(size)}, limit: ${displaySize(MAX_ARGUMENT_BYTES)})`,
      );
    }
    const time = timeOf(request.ts, transaction.now);
    transaction.use("functionsScheduled");
    transaction.use("scheduledFunctionArgsBytes", size);
    const owner = frame.component;
    const table = transaction.tables.create(owner, SCHEDULED);
    const id = transaction.tables.newId(table);
    transaction.put(table, {
      _creationTime: transaction.tables.newCreationTime(transaction.now),
      _id: id,
      args: [args],
      name: canonical(target),
      scheduledTime: time,
      state: { kind: "pending" },
    });
    const order = this.#order++;
    transaction.afterwards(() => {
      this.#jobs.set(id, { component, path, owner, order });
      this.services.journal?.job(id, { component, path, owner });
      this.#arm();
    });
    return id;
  }

  cancel(transaction: Transaction, component: string, id: Json) {
    const problem = decodingProblem(id);
    if (problem !== null) throw invalidArgument("id", "db.cancel_job", problem);
    const table = transaction.tables.tableOf(String(id));
    if (table?.component === component && table.name !== SCHEDULED) {
      const why = `expected to be an Id<"${SCHEDULED}">, got Id<"${table.name}"> instead.`;
      throw invalidArgument("id", "db.cancel_job", why);
    }
    const document = this.#row(transaction, component, String(id));
    if (document === null) throw new UserError(`Scheduled function with ID ${id} not found.`);
    if (stateOf(document) !== "pending") return;
    this.#setState(transaction, component, document, { kind: "canceled" });
    transaction.afterwards(() => this.#jobs.delete(String(id)));
  }

  #row(transaction: Transaction, component: string, id: string): Document | null {
    return transaction.tables.find(component, SCHEDULED)?.documents.get(id) ?? null;
  }

  #setState(
    transaction: Transaction,
    component: string,
    document: Document,
    state: { kind: string; error?: string },
  ) {
    const isOver = state.kind !== "pending" && state.kind !== "inProgress";
    const completed: Document = isOver ? { completedTime: transaction.now } : {};
    const { _creationTime = 0, _id = "", args = [], name = "", scheduledTime = 0 } = document;
    transaction.put(transaction.tables.create(component, SCHEDULED), {
      ...{ _creationTime, _id, args },
      ...completed,
      ...{ name, scheduledTime, state },
    });
    if (isOver) transaction.afterwards(() => this.services.journal?.jobOver(String(_id)));
  }

  // ---- Time -------------------------------------------------------------------------------------

  /** Moves the clock forward and runs what becomes due on the way, one after another, each at its time. */
  advance(milliseconds: number) {
    const done = this.#advances.then(() => this.#advance(milliseconds));
    this.#advances = done.catch(() => {});
    return done;
  }

  async #advance(milliseconds: number) {
    const generation = this.#generation;
    const { clock } = this.services;
    this.#held = true;
    this.#disarm();
    const target = clock.now() + milliseconds;
    clock.holdAt(clock.now());
    try {
      await Promise.all(this.#running);
      for (let due = this.#next(); due !== null && due.time <= target; due = this.#next()) {
        clock.holdAt(due.time);
        await due.run();
        if (generation !== this.#generation) return;
      }
      clock.holdAt(target);
    } finally {
      if (generation === this.#generation) {
        clock.release();
        this.services.journal?.clock(clock.offset);
        this.#held = false;
        this.#arm();
      }
    }
  }

  #disarm() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Waits for what is due next, in real time. */
  #arm() {
    this.#disarm();
    if (this.#held) return;
    const due = this.#next();
    if (due === null) return;
    const wait = Math.min(Math.max(due.time - this.services.clock.now(), 0), MAX_TIMER);
    this.#timer = setTimeout(() => this.#fire(), wait);
    this.#timer.unref();
  }

  #fire() {
    const now = this.services.clock.now();
    for (let due = this.#next(); due !== null && due.time <= now; due = this.#next()) {
      const running = due
        .run()
        .catch((error) => console.error(error))
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
    this.#arm();
  }

  /** What is due first; to run it takes it out. */
  #next(): Due | null {
    let first: Due | null = null;
    const consider = (due: Due) => {
      if (
        first === null ||
        due.time < first.time ||
        (due.time === first.time && due.order < first.order)
      )
        first = due;
    };
    for (const [id, job] of this.#jobs) {
      const row = this.services.tables.find(job.owner, SCHEDULED)?.documents.get(id);
      const time = Number(row?.["scheduledTime"] ?? 0);
      consider({ time, order: job.order, run: () => this.#runJob(id, job) });
    }
    for (const [key, timer] of this.#crons) {
      const { next } = timer;
      if (next !== null)
        consider({ time: next, order: timer.order, run: () => this.#runCron(key, timer, next) });
    }
    return first;
  }

  async #runCron(key: string, timer: Timer, time: number) {
    const { component, cron } = timer;
    timer.next = nextTime(cron.schedule, time);
    timer.order = this.#order++;
    this.services.journal?.cron(key, timer);
    const [args = {}] = cron.args;
    const generation = this.#generation;
    await this.services.functions
      .run({ kind: null, component, path: cron.function, args, caller: SYSTEM })
      .catch((error) => {
        if (generation === this.#generation)
          this.services.logFailure(cron.function, asFailure(error));
      });
  }

  /** Mutations run exactly once: their row changes with what they write. Actions at most once. */
  async #runJob(id: string, { component, path, owner }: Job) {
    this.#jobs.delete(id);
    const generation = this.#generation;
    const { functions } = this.services;
    let args: Json = {};
    const setState = (state: { kind: string; error?: string }) =>
      functions.transaction((transaction) => {
        const row = this.#row(transaction, owner, id);
        if (row === null || (state.kind === "inProgress" && stateOf(row) !== "pending"))
          return false;
        if (Array.isArray(row["args"])) args = row["args"][0] ?? {};
        this.#setState(transaction, owner, row, state);
        return true;
      });
    if (!(await setState({ kind: "inProgress" }))) return;
    let isOver = false;
    const alongside = (transaction: Transaction) => {
      const row = this.#row(transaction, owner, id);
      if (row !== null) this.#setState(transaction, owner, row, { kind: "success" });
      isOver = true;
    };
    // A query can be scheduled, and fails then.
    const isQuery = findTarget(this.services.push(), component, path)?.kind === "query";
    try {
      await functions.run({
        kind: isQuery ? "mutation" : null,
        component,
        path,
        args,
        caller: SYSTEM,
        scheduledId: id,
        alongside,
      });
      if (!isOver && generation === this.#generation) await setState({ kind: "success" });
    } catch (error) {
      // What a reset has ended is nobody's failure, and its row is gone.
      if (generation !== this.#generation) return;
      const failure = asFailure(error);
      this.services.logFailure(path, failure);
      await setState({ kind: "failed", error: failure.text });
    }
  }
}

function argumentOf(args: Json): Json {
  try {
    return parseValue(args);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new UserError(`Invalid arguments for \`schedule\`: ${error.message}`);
  }
}

/** @param seconds since 1970, as a function gave them @returns milliseconds */
function timeOf(seconds: unknown, now: number): number {
  if (typeof seconds !== "number" || Number.isNaN(seconds))
    throw new UserError("Invalid arguments for `schedule`: ts must be a number");
  const time = Math.round(seconds * 1e6) / 1e3;
  if (Math.abs(time - now) <= FIVE_YEARS) return time;
  const date = new Date(time);
  const shown = Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
  throw new UserError(`${shown} is more than 5 years in the ${time > now ? "future" : "past"}`);
}

function stateOf(document: Document) {
  const { state } = document;
  return typeof state === "object" && state !== null && "kind" in state ? state["kind"] : null;
}
