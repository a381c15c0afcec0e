/**
 * The state of the deployment: what is live, what is about to be, and its environment variables.
 * @import { Push, PushOutcome, PushRequest } from "./protocol.d.ts"
 * @import { Isolates } from "./isolates/isolate.mjs"
 * @import { Journal } from "./persistence/journal.mjs"
 * @import { Tables } from "./database/tables.mjs"
 */

import { analyze } from "./push/analyze.mjs";
import { indexDiffs, pushDiff } from "./push/diffs.mjs";
import { ApiError, BadRequest, Refusal } from "./errors.mjs";
import { APP } from "./push/definitions.mjs";
import { schemasOf, Services } from "./running/services.mjs";
import { Exports } from "./transfer/exports.mjs";
import { Imports } from "./transfer/imports.mjs";

/** Pushes that were started and neither finished nor replaced; the CLI has one at a time. */
const MAX_STAGED = 8;
const MAX_VARIABLES = 512;
const MAX_VARIABLE_BYTES = 8 * 1024;
const MAX_NAME = 256;

/** @param {PushOutcome["status"]} status @param {number} number @returns {PushOutcome} */
function outcome(status, number) {
  return {
    ...{ status, number, phase: null, code: null, message: null },
    ...{ position: null, table: null, index: null, component: null },
  };
}

export class Deployment {
  /** @type {Push | null} */
  live = null;
  /** @type {PushOutcome} */
  lastPush = outcome("none", 0);
  /** @type {Map<string, string>} */
  variables = new Map();
  /** @type {Map<string, Push>} */
  #staged = new Map();
  /** Counts resets: what was started before one must not arrive after it. */
  #generation = 0;

  /**
   * @param {Isolates} isolates @param {{ cloud: string, site: string }} urls
   * @param {{ name: string, secret: string }} instance
   */
  constructor(isolates, urls, instance) {
    this.isolates = isolates;
    this.urls = urls;
    this.services = new Services({ urls, ...instance, push: () => this.live, variables: () => this.environment() });
    this.services.useLive();
    this.imports = new Imports(this.services);
    this.exports = new Exports(this.services);
  }

  /** Keeps everything in a journal, and goes on with what is in it. @param {Journal} journal */
  async keep(journal) {
    const saved = journal.saved();
    if (saved === null) return this.services.keep(journal);
    // Those of an older server have no list of packages.
    this.live = saved.push === null ? null : { ...saved.push, nodeDependencies: saved.push.nodeDependencies ?? [] };
    this.variables = new Map(Object.entries(saved.variables));
    await this.services.restore(journal, saved);
  }

  /** Ends every process that it started. */
  close() {
    this.isolates.close();
    this.services.functions.restart();
  }

  /** Back to a deployment that was just started. */
  reset() {
    this.#generation += 1;
    this.isolates.close();
    this.live = null;
    this.lastPush = outcome("none", this.lastPush.number);
    this.variables.clear();
    this.#staged.clear();
    this.services.functions.restart();
    this.services.clear();
  }

  /** Back to what was just pushed: without documents, files and schedules. */
  resetData(now = /** @type {number | null} */ (null)) {
    this.services.clear(now);
  }

  environment() {
    return Object.fromEntries(this.variables);
  }

  /**
   * Checks a push and keeps it for finish_push.
   * @param {PushRequest} request
   * @returns {Promise<{ push: Push, indexDiffs: ReturnType<typeof indexDiffs> }>}
   * @throws {ApiError} 400 with the refusal, wrapped as the CLI expects it
   */
  async start(request) {
    return await this.#reporting(async () => {
      const generation = this.#generation;
      this.lastPush = outcome("started", this.lastPush.number + 1);
      const push = await analyze(request, {
        isolates: this.isolates,
        live: this.live,
        env: this.environment(),
        packages: this.services.packages,
        builtins: { CONVEX_CLOUD_URL: this.urls.cloud, CONVEX_SITE_URL: this.urls.site },
      });
      if (generation !== this.#generation) throw raceDetected("The deployment was reset during the push.");
      this.#staged.set(push.id, push);
      for (const id of this.#staged.keys()) if (this.#staged.size > MAX_STAGED) this.#staged.delete(id);
      return { push, indexDiffs: indexDiffs(this.live, push) };
    });
  }

  /**
   * Makes a started push live, all of it at once.
   * @param {string} id @param {{ dryRun: boolean }} options
   */
  async finish(id, { dryRun }) {
    // Alone, as a transaction is: what is not committed may be taken back, and no document comes in between.
    return await this.#reporting(() => this.#alone(() => this.#finish(id, dryRun)));
  }

  /** @param {string} id @param {boolean} dryRun */
  #finish(id, dryRun) {
    const push = this.#staged.get(id);
    if (push === undefined) throw raceDetected("Schema was overwritten by another push, or by a reset.");
    if (JSON.stringify(push.env) !== JSON.stringify(this.environment())) {
      throw raceDetected("Environment variables changed during the push.");
    }
    this.#checkRequiredVariables(push);
    const found = this.services.tables.violation(schemasOf(push));
    // wait_for_schema has seen none: the CLI tries again, and is told of it there.
    if (found !== null) throw raceDetected(`Documents changed during the push: ${found.error}`);
    const diff = pushDiff(this.live, push);
    if (!dryRun) {
      this.live = push;
      this.#staged.clear();
      this.services.useLive();
    }
    this.lastPush = outcome("accepted", this.lastPush.number);
    return diff;
  }

  /**
   * Whether the documents that are there fit the schema of a started push.
   * @param {string} id
   * @returns {Promise<"overtaken" | ReturnType<Tables["violation"]>>} the first that does not;
   *   overtaken: the push is not to be finished any more
   */
  async violation(id) {
    return await this.#alone(() => {
      const push = this.#staged.get(id);
      return push === undefined ? "overtaken" : this.services.tables.violation(schemasOf(push));
    });
  }

  /** Between two transactions. @template T @param {() => T} work @returns {Promise<T>} */
  async #alone(work) {
    return await this.services.functions.transaction(work, { writes: false });
  }

  /** @param {Push} push */
  #checkRequiredVariables(push) {
    const declared = push.definitions.get(APP)?.definition.envVars ?? [];
    const missing = declared
      .filter(([name, { optional }]) => optional !== true && !this.variables.has(name))
      .map(([name]) => name);
    if (missing.length === 0) return;
    throw new Refusal(
      "MissingEnvironmentVariables",
      `Required environment variables are not set: ${missing.join(", ")}. Set them in the Convex dashboard or CLI before pushing.`,
    ).during("finish");
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #reporting(work) {
    const generation = this.#generation;
    try {
      return await work();
    } catch (error) {
      if (generation !== this.#generation) throw raceDetected("The deployment was reset during the push.");
      if (!(error instanceof Refusal)) {
        const code = error instanceof ApiError ? error.code : "InternalServerError";
        const message = error instanceof Error ? error.message : String(error);
        this.lastPush = { ...outcome("failed", this.lastPush.number), code, message };
        throw error;
      }
      const { code, message, phase, where } = error;
      const { position = null, table = null, index = null, component = null } = where;
      this.lastPush = {
        ...outcome("refused", this.lastPush.number),
        ...{ phase, code, message, position, table, index, component },
      };
      throw new ApiError(400, code, error.wrapped());
    }
  }

  /**
   * Sets environment variables, all or none; a null value deletes.
   * @param {{ name: string, value: string | null }[]} changes
   * @throws {ApiError} EnvironmentVariableNameInvalid and the like
   */
  updateVariables(changes) {
    const next = new Map(this.variables);
    for (const { name, value } of changes) {
      checkVariable(name, value);
      if (value === null) next.delete(name);
      else next.set(name, value);
    }
    if (next.size > MAX_VARIABLES) {
      throw new ApiError(400, "TooManyEnvVars", `At most ${MAX_VARIABLES} environment variables can be set.`);
    }
    this.variables = next;
    this.services.journal?.variables(this.environment());
    this.services.changed(null);
  }
}

/** @param {string} name @param {string | null} value */
function checkVariable(name, value) {
  if (!/^[a-zA-Z_]+[a-zA-Z0-9_]*$/.test(name)) {
    const text = `Environment variable name "${name}" is invalid. Use letters, digits and underscores.`;
    throw new ApiError(400, "EnvironmentVariableNameInvalid", text);
  }
  if (name.length > MAX_NAME) {
    const text = `Environment variable names can have ${MAX_NAME} characters.`;
    throw new ApiError(400, "EnvironmentVariableNameTooLong", text);
  }
  if (value !== null && Buffer.byteLength(value) > MAX_VARIABLE_BYTES) {
    throw new BadRequest(`The value of ${name} is larger than ${MAX_VARIABLE_BYTES} bytes.`);
  }
}

/** @param {string} message */
function raceDetected(message) {
  return new ApiError(400, "RaceDetected", message);
}
