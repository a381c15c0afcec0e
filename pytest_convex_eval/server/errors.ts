import type { Position, PushPhase } from "./protocol.ts";

/**
 * What a client is told instead of an answer: `{code, message}` with an HTTP status. The CLI prints
 * `<status> <statusText>: <code>: <message>`.
 */
export class ApiError extends Error {
  status: number;
  code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A request that is none: a client's fault that says nothing about the pushed code. */
export class BadRequest extends ApiError {
  constructor(message: string) {
    super(400, "BadRequest", message);
  }
}

/** Something that the real backend does and this one does not: no fault of the pushed code. */
export class Unsupported extends ApiError {
  constructor(message: string) {
    super(400, "UnsupportedByEmbeddedDeployment", message);
  }
}

/** What the client library or its CLI can ask of a deployment. */
export type Feature = {
  kind: "validator" | "operation" | "push field" | "schema field" | "definition field";
  name: string;
};

/**
 * A feature that this deployment does not know. Whether a newer library brought it or the pushed code made it up, only
 * who has the library's package can tell.
 */
export class UnknownFeature extends Unsupported {
  feature: Feature;
  constructor(feature: Feature, message: string) {
    super(message);
    this.feature = feature;
  }
}

/** Whether a field says something: what is null, false or empty changes nothing where it is left out. */
function says(value: unknown) {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== "";
}

/** @throws UnknownFeature for a field that is none of `known` */
export function requireKnown(
  kind: Feature["kind"],
  given: object,
  known: ReadonlySet<string>,
  prefix: string = "",
) {
  for (const [name, value] of Object.entries(given)) {
    if (known.has(name) || !says(value)) continue;
    const feature = { kind, name };
    throw new UnknownFeature(
      feature,
      `The ${kind} \`${prefix}${name}\` is not known to this deployment.`,
    );
  }
}

export interface Where {
  position?: Position | null;
  table?: string | null;
  index?: string | null;
  /** The path of the component's definition. */
  component?: string | null;
}

/** The pushed code is at fault. `message` is the finding itself, without the wrapping of its phase. */
export class Refusal extends Error {
  code: string;
  where: Where;
  phase: PushPhase;
  /** @param code the backend's own code, `InvalidTableName` */
  constructor(code: string, message: string, where: Where = {}) {
    super(message);
    this.code = code;
    this.where = where;
    this.phase = "request";
  }

  /** Set by the first phase that it passes through. */
  during(phase: PushPhase, where: Where = {}) {
    this.phase = phase;
    this.where = { ...where, ...this.where };
    return this;
  }

  /** As the CLI is told: each phase names itself in front. */
  wrapped() {
    return `Hit an error while pushing:\n${PREFIX[this.phase]}${this.message}`;
  }
}

const PREFIX: Record<PushPhase, string> = {
  request: "",
  modules: "Loading the pushed modules encountered the following\n    error:\n",
  auth: "",
  schema: "Hit an error while evaluating your schema:\n",
  components: "",
  finish: "",
};
