/** @import { Position, PushPhase } from "./protocol.d.ts" */

/**
 * What a client is told instead of an answer: `{code, message}` with an HTTP status. The CLI prints
 * `<status> <statusText>: <code>: <message>`.
 */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A request that is none: a client's fault that says nothing about the pushed code. */
export class BadRequest extends ApiError {
  /** @param {string} message */
  constructor(message) {
    super(400, "BadRequest", message);
  }
}

/** Something that the real backend does and this one does not: no fault of the pushed code. */
export class Unsupported extends ApiError {
  /** @param {string} message */
  constructor(message) {
    super(400, "UnsupportedByEmbeddedDeployment", message);
  }
}

/**
 * @typedef {object} Where
 * @property {Position | null} [position]
 * @property {string | null} [table]
 * @property {string | null} [index]
 * @property {string | null} [component] the path of the component's definition
 */

/** The pushed code is at fault. `message` is the finding itself, without the wrapping of its phase. */
export class Refusal extends Error {
  /**
   * @param {string} code the backend's own code, `InvalidTableName`
   * @param {string} message
   * @param {Where} [where]
   */
  constructor(code, message, where = {}) {
    super(message);
    this.code = code;
    this.where = where;
    /** @type {PushPhase} */
    this.phase = "request";
  }

  /** Set by the first phase that it passes through. @param {PushPhase} phase @param {Where} where */
  during(phase, where = {}) {
    this.phase = phase;
    this.where = { ...where, ...this.where };
    return this;
  }

  /** As the CLI is told: each phase names itself in front. */
  wrapped() {
    return `Hit an error while pushing:\n${PREFIX[this.phase]}${this.message}`;
  }
}

/** @type {Record<PushPhase, string>} */
const PREFIX = {
  request: "",
  modules: "Loading the pushed modules encountered the following\n    error:\n",
  auth: "",
  schema: "Hit an error while evaluating your schema:\n",
  components: "",
  finish: "",
};
