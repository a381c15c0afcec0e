/**
 * The parts of a running deployment, which know each other through this.
 * @import { Push } from "../protocol.d.ts"
 * @import { Journal, Saved } from "../persistence/journal.mjs"
 * @import { Packages } from "../push/packages.mjs"
 * @import { FunctionFailure } from "./failure.mjs"
 */

import { APP } from "../push/definitions.mjs";
import { instances } from "../push/diffs.mjs";
import { History } from "../database/history.mjs";
import { Tables } from "../database/tables.mjs";
import { Clock } from "./clock.mjs";
import { FunctionLog } from "./function_log.mjs";
import { Functions } from "./functions.mjs";
import { KeySets } from "./key_sets.mjs";
import { OwnTokens } from "./own_tokens.mjs";
import { Scheduler } from "./scheduler.mjs";
import { Storage } from "./storage.mjs";
import { TIME_LIMITS } from "./time_limits.mjs";

/** Log entries that are kept for those who ask later. */
const KEPT_ENTRIES = 1000;

/** @extends {Set<string>} */
class EveryOrigin extends Set {
  has() {
    return true;
  }
}

export class Services {
  tables = new Tables();
  history = new History();
  clock = new Clock();
  log = new FunctionLog(() => this.clock.now());
  keySets = new KeySets();
  /** Null where nothing outlives the process. @type {Journal | null} */
  journal = null;
  /** Origins that actions can reach beside its own, where nobody says others. @type {Set<string>} */
  #usual = new Set();
  /** Those that they can reach now. @type {Set<string>} */
  reachable = this.#usual;
  /** Null where none can be had. @type {Packages | null} */
  packages = null;
  /** Whether actions in Node have sockets, and a temporary folder: never where others' code is evaluated. */
  isOnline = false;
  /** How long functions may run. */
  timeLimits = TIME_LIMITS;
  /** The last functions that failed without anybody waiting for them. @type {{ path: string, error: string }[]} */
  failures = [];

  /**
   * @param {{ urls: { cloud: string, site: string }, push: () => Push | null, variables: () => Record<string, string>, name: string, secret: string }} deployment
   *   `secret`: hexadecimal
   */
  constructor({ urls, push, variables, name, secret }) {
    this.urls = urls;
    this.ownTokens = new OwnTokens(urls, secret);
    this.push = push;
    this.variables = variables;
    this.name = name;
    this.storage = new Storage(urls, () => this.journal, () => this.clock.now());
    this.functions = new Functions(this);
    this.scheduler = new Scheduler(this);
    this.functions.onCommit((changed) => this.changed(changed));
  }

  /** Whether pushed code can reach an origin: this deployment's own, and those that are named. @param {string} origin */
  canReach(origin) {
    const { cloud, site } = this.urls;
    return this.reachable.has(origin) || [cloud, site].some((own) => new URL(own).origin === origin);
  }

  /** @type {Set<(changed: Set<string> | null) => void>} */
  #listeners = new Set();

  /** Tells what queries may have another result: `component/table`; null for all. @param {(changed: Set<string> | null) => void} listener */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  /** @param {Set<string> | null} changed */
  changed(changed) {
    // Documents are not all that is other now.
    if (changed === null) this.history.cut();
    for (const listener of this.#listeners) listener(changed);
  }

  /** Lets pushed code use the network. @param {Packages} packages */
  goOnline(packages) {
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

  /** Documents, files and schedules are gone, and time is real, or starts at `now`. @param {number | null} [now] milliseconds since 1970 */
  clear(now = null) {
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

  /** Keeps everything from now on, beginning with what there is. @param {Journal} journal */
  keep(journal) {
    this.journal = journal;
    this.#save();
  }

  /** Goes on where another process ended; the push is live already, and the scheduler waits to be resumed. @param {Journal} journal @param {Saved} saved */
  async restore(journal, saved) {
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
    this.journal?.live({ push, variables, tables, crons: scheduler.timers(), calls: functions.calls, clockOffset: clock.offset });
  }

  /** @param {string} path @param {FunctionFailure} failure */
  logFailure(path, failure) {
    this.failures.push({ path, error: failure.text });
    if (this.failures.length > KEPT_ENTRIES) this.failures.shift();
  }
}

/** @param {Push | null} push */
export function schemasOf(push) {
  const found = (push === null ? [] : instances(push.tree)).map(
    ({ componentPath, definitionPath }) =>
      /** @type {const} */ ([componentPath, push?.definitions.get(definitionPath)?.schema ?? null]),
  );
  return new Map(found.length > 0 ? found : [[APP, null]]);
}
