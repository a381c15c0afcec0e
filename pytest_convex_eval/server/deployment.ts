/** The state of the deployment: what is live, what is about to be, and its environment variables. */

import { analyze } from "./push/analyze.ts";
import { indexDiffs, pushDiff } from "./push/diffs.ts";
import { ApiError, Refusal, UnknownFeature } from "./errors.ts";
import { APP } from "./push/definitions.ts";
import { BUILT_IN_VARIABLES } from "./running/environment.ts";
import { schemasOf, Services } from "./running/services.ts";
import { Exports } from "./transfer/exports.ts";
import { Imports } from "./transfer/imports.ts";
import type { Push, PushOutcome, PushRequest } from "./protocol.ts";
import type { Isolates } from "./isolates/isolate.ts";
import type { Journal } from "./persistence/journal.ts";
import type { Tables } from "./database/tables.ts";

/** Pushes that were started and neither finished nor replaced; the CLI has one at a time. */
const MAX_STAGED = 8;
const MAX_VARIABLES = 512;
const MAX_VARIABLE_BYTES = 8 * 1024;
const MAX_NAME = 256;

function outcome(status: PushOutcome["status"], number: number): PushOutcome {
  return {
    ...{ status, number, phase: null, code: null, message: null },
    ...{ position: null, table: null, index: null, component: null, unknown: null },
  };
}

export class Deployment {
  isolates: Isolates;
  urls: { cloud: string; site: string };
  services: Services;
  imports: Imports;
  exports: Exports;
  live: Push | null = null;
  lastPush: PushOutcome = outcome("none", 0);
  variables: Map<string, string> = new Map();
  #staged: Map<string, Push> = new Map();
  /** Counts resets: what was started before one must not arrive after it. */
  #generation = 0;

  constructor(
    isolates: Isolates,
    urls: { cloud: string; site: string },
    instance: { name: string; secret: string },
  ) {
    this.isolates = isolates;
    this.urls = urls;
    this.services = new Services({
      urls,
      programs: isolates.programs,
      ...instance,
      push: () => this.live,
      variables: () => this.environment(),
    });
    this.services.useLive();
    this.imports = new Imports(this.services);
    this.exports = new Exports(this.services);
  }

  /** Keeps everything in a journal, and goes on with what is in it. */
  async keep(journal: Journal) {
    const saved = journal.saved();
    if (saved === null) return this.services.keep(journal);
    // Those of an older server have no list of packages.
    this.live =
      saved.push === null
        ? null
        : { ...saved.push, nodeDependencies: saved.push.nodeDependencies ?? [] };
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
    this.services.unknown.clear();
    this.#staged.clear();
    this.services.functions.restart();
    this.services.clear();
  }

  /** Back to what was just pushed: without documents, files and schedules. */
  resetData(now = null as number | null) {
    this.services.clear(now);
  }

  environment() {
    return Object.fromEntries(this.variables);
  }

  /**
   * Checks a push and keeps it for finish_push.
   * @throws ApiError 400 with the refusal, wrapped as the CLI expects it
   */
  async start(
    request: PushRequest,
  ): Promise<{ push: Push; indexDiffs: ReturnType<typeof indexDiffs> }> {
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
      if (generation !== this.#generation)
        throw raceDetected("The deployment was reset during the push.");
      this.#staged.set(push.id, push);
      for (const id of this.#staged.keys())
        if (this.#staged.size > MAX_STAGED) this.#staged.delete(id);
      return { push, indexDiffs: indexDiffs(this.live, push) };
    });
  }

  /** Makes a started push live, all of it at once. */
  async finish(id: string, { dryRun }: { dryRun: boolean }) {
    // Alone, as a transaction is: what is not committed may be taken back, and no document comes in between.
    return await this.#reporting(() => this.#alone(() => this.#finish(id, dryRun)));
  }

  #finish(id: string, dryRun: boolean) {
    const push = this.#staged.get(id);
    if (push === undefined)
      throw raceDetected("Schema was overwritten by another push, or by a reset.");
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
   * @returns the first that does not;
   * overtaken: the push is not to be finished any more
   */
  async violation(id: string): Promise<"overtaken" | ReturnType<Tables["violation"]>> {
    return await this.#alone(() => {
      const push = this.#staged.get(id);
      if (push === undefined) return "overtaken";
      const found = this.services.tables.violation(schemasOf(push));
      if (found !== null) this.#refuseSchema(found);
      return found;
    });
  }

  /** The CLI ends here: that the schema does not fit is what became of the push. */
  #refuseSchema({ component, table, error }: NonNullable<ReturnType<Tables["violation"]>>) {
    const where = component === APP ? "" : ` in component "${component}"`;
    this.lastPush = {
      ...outcome("refused", this.lastPush.number),
      ...{ phase: "schema", code: "SchemaValidationFailed", table },
      message: `Schema validation failed${where}.\n${error.trimEnd()}`,
    };
  }

  /** Between two transactions. */
  async #alone<T>(work: () => T): Promise<T> {
    return await this.services.functions.transaction(work, { writes: false });
  }

  #checkRequiredVariables(push: Push) {
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

  async #reporting<T>(work: () => Promise<T>): Promise<T> {
    const generation = this.#generation;
    try {
      return await work();
    } catch (error) {
      if (generation !== this.#generation)
        throw raceDetected("The deployment was reset during the push.");
      if (!(error instanceof Refusal)) {
        const code = error instanceof ApiError ? error.code : "InternalServerError";
        const message = error instanceof Error ? error.message : String(error);
        const unknown = error instanceof UnknownFeature ? error.feature : null;
        this.lastPush = { ...outcome("failed", this.lastPush.number), code, message, unknown };
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
   * @throws ApiError EnvironmentVariableNameInvalid and the like
   */
  updateVariables(changes: { name: string; value: string | null }[]) {
    const next = new Map(this.variables);
    for (const { name, value } of changes) {
      checkVariable(name, value);
      if (value === null) next.delete(name);
      else next.set(name, value);
    }
    if (next.size > MAX_VARIABLES) {
      throw new ApiError(
        400,
        "TooManyEnvVars",
        `At most ${MAX_VARIABLES} environment variables can be set.`,
      );
    }
    this.variables = next;
    this.services.journal?.variables(this.environment());
    this.services.changed(null);
  }
}

function checkVariable(name: string, value: string | null) {
  if (!/^[a-zA-Z_]+[a-zA-Z0-9_]*$/.test(name)) {
    const text =
      `Environment variable name "${name}" is invalid: it must begin with a letter or an underscore, and have ` +
      "letters, digits and underscores only.";
    throw new ApiError(400, "EnvironmentVariableNameInvalid", text);
  }
  if (name.length > MAX_NAME) {
    const text = `Environment variable names can have ${MAX_NAME} characters.`;
    throw new ApiError(400, "EnvironmentVariableNameTooLong", text);
  }
  if (value === null) return;
  if (BUILT_IN_VARIABLES.has(name)) {
    const text = `Environment variable with name "${name}" is built-in and cannot be overridden`;
    throw new ApiError(400, "EnvVarNameForbidden", text);
  }
  if (Buffer.byteLength(value) > MAX_VARIABLE_BYTES) {
    const text = `The value of the environment variable "${name}" is larger than ${MAX_VARIABLE_BYTES} bytes.`;
    throw new ApiError(400, "EnvironmentVariableValueTooLarge", text);
  }
}

function raceDetected(message: string) {
  return new ApiError(400, "RaceDetected", message);
}
