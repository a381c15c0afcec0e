/** The parts of a running deployment, which know each other through this. */

import { APP } from "../push/definitions.ts";
import { instances } from "../push/diffs.ts";
import { History } from "../database/history.ts";
import { Tables } from "../database/tables.ts";
import { Clock } from "./clock.ts";
import { FunctionLog } from "./function_log.ts";
import { Functions } from "./functions.ts";
import { KeySets } from "./key_sets.ts";
import { OwnTokens } from "./own_tokens.ts";
import { Scheduler } from "./scheduler.ts";
import { Storage } from "./storage.ts";
import { TIME_LIMITS } from "./time_limits.ts";
import type { Push } from "../protocol.ts";
import type { Journal, Saved } from "../persistence/journal.ts";
import type { Programs } from "../isolates/programs.ts";
import type { Packages } from "../push/packages.ts";
import type { FunctionFailure } from "./failure.ts";

/** Log entries that are kept for those who ask later. */
const KEPT_ENTRIES = 1000;

class EveryOrigin extends Set<string> {
  has() {
    return true;
  }
}

export class Services {
  urls: { cloud: string; site: string };
  ownTokens: OwnTokens;
  push: () => Push | null;
  programs: Programs;
  variables: () => Record<string, string>;
  name: string;
  storage: Storage;
  functions: Functions;
  scheduler: Scheduler;
  tables = new Tables();
  history = new History();
  clock = new Clock();
  log = new FunctionLog(() => this.clock.now());
  keySets = new KeySets();
  /** Null where nothing outlives the process. */
  journal: Journal | null = null;
  /** Origins that actions can reach beside its own, where nobody says others. */
  #usual: Set<string> = new Set();
  /** Those that they can reach now. */
  reachable: Set<string> = this.#usual;
  /** Null where none can be had. */
  packages: Packages | null = null;
  /** Whether actions in Node have sockets, and a temporary folder: never where others' code is evaluated. */
  isOnline = false;
  /** How long functions may run. */
  timeLimits = TIME_LIMITS;
  /** Operations that functions asked for and that are not known here, since the last reset. */
  unknown: Set<string> = new Set();
  /** The last functions that failed without anybody waiting for them. */
  failures: { path: string; error: string }[] = [];

  /** @param deployment `secret`: hexadecimal */
  constructor({
    urls,
    programs,
    push,
    variables,
    name,
    secret,
  }: {
    programs: Programs;
    urls: { cloud: string; site: string };
    push: () => Push | null;
    variables: () => Record<string, string>;
    name: string;
    secret: string;
  }) {
    this.urls = urls;
    this.ownTokens = new OwnTokens(urls, secret);
    this.push = push;
    this.programs = programs;
    this.variables = variables;
    this.name = name;
    this.storage = new Storage(
      urls,
      () => this.journal,
      () => this.clock.now(),
    );
    this.functions = new Functions(this);
    this.scheduler = new Scheduler(this);
    this.functions.onCommit((changed) => this.changed(changed));
  }

  /** Whether pushed code can reach an origin: this deployment's own, and those that are named. */
  canReach(origin: string) {
    const { cloud, site } = this.urls;
    return (
      this.reachable.has(origin) || [cloud, site].some((own) => new URL(own).origin === origin)
    );
  }

  #listeners: Set<(changed: Set<string> | null) => void> = new Set();

  /** Tells what queries may have another result: `component/table`; null for all. */
  onChange(listener: (changed: Set<string> | null) => void) {
    this.#listeners.add(listener);
  }

  changed(changed: Set<string> | null) {
    // Documents are not all that is other now.
    if (changed === null) this.history.cut();
    for (const listener of this.#listeners) listener(changed);
  }

  /** Lets pushed code use the network. */
  goOnline(packages: Packages) {
    this.#usual = this.reachable = new EveryOrigin();
    this.packages = packages;
    this.isOnline = true;
  }

  /** Other code is live. */
  useLive() {
    const push = this.push();
    this.functions.restart();
    this.tables.useSchemas(schemasOf(push));
    this.scheduler.usePush(push);
    this.#save();
    this.changed(null);
  }

  /**
   * Documents, files and schedules are gone, and time is real, or starts at `now`.
   * @param now milliseconds since 1970
   */
  clear(now: number | null = null) {
    const push = this.push();
    this.functions.interrupt();
    this.functions.restore(0);
    this.clock.reset(now);
    this.timeLimits = TIME_LIMITS;
    this.reachable = this.#usual;
    this.storage.clear();
    this.tables.clear();
    this.failures.length = 0;
    this.log.clear();
    this.tables.useSchemas(schemasOf(push));
    this.scheduler.reset(push);
    this.journal?.erase();
    this.#save();
    this.changed(null);
  }

  /** Keeps everything from now on, beginning with what there is. */
  keep(journal: Journal) {
    this.journal = journal;
    this.#save();
  }

  /** Goes on where another process ended; the push is live already, and the scheduler waits to be resumed. */
  async restore(journal: Journal, saved: Saved) {
    const push = this.push();
    this.scheduler.pause();
    this.clock.offset = saved.clockOffset;
    this.tables.clear();
    this.tables.restore(saved.counters, saved.tables);
    this.tables.useSchemas(schemasOf(push));
    this.storage.restore(saved.files);
    this.functions.restore(saved.calls);
    this.scheduler.restoreCrons(saved.crons);
    this.scheduler.usePush(push);
    this.journal = journal;
    await this.scheduler.restoreJobs(saved.jobs);
  }

  /** Until all that was done so far outlives the process, where anything does. */
  async durable() {
    await this.journal?.durable();
  }

  #save() {
    const { tables, clock, scheduler, functions } = this;
    const [push, variables] = [this.push(), this.variables()];
    this.journal?.live({
      push,
      variables,
      tables,
      crons: scheduler.timers(),
      calls: functions.calls,
      clockOffset: clock.offset,
    });
  }

  logFailure(path: string, failure: FunctionFailure) {
    this.failures.push({ path, error: failure.text });
    if (this.failures.length > KEPT_ENTRIES) this.failures.shift();
  }
}

export function schemasOf(push: Push | null) {
  const found = (push === null ? [] : instances(push.tree)).map(
    ({ componentPath, definitionPath }) =>
      [componentPath, push?.definitions.get(definitionPath)?.schema ?? null] as const,
  );
  return new Map(found.length > 0 ? found : [[APP, null]]);
}
