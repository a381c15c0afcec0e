/**
 * One client on the sync protocol: the queries that it follows, and the transitions from one version of their results
 * to the next.
 */

import { requireKey } from "../admin_key.ts";
import { ApiError } from "../errors.ts";
import { asFailure, serverError } from "../running/failure.ts";
import { asUser, NOBODY } from "../running/identity.ts";
import { verifyToken } from "../running/tokens.ts";
import { encodeTimestamp } from "../values/timestamps.ts";
import type { Json } from "../protocol.ts";
import type { Caller, Origin } from "../running/identity.ts";
import type { Transaction } from "../database/transaction.ts";
import type { FunctionResult, Invocation } from "../running/functions.ts";
import type { Kind } from "../running/targets.ts";
import type { Hub } from "./hub.ts";
import type { WebSocketConnection } from "./websocket.ts";

export type Followed = {
  udfPath: string;
  args: Json;
  component: string | undefined;
  shown: string | null;
  reads: Set<string> | null;
  stale: boolean;
};
export type Answer = { success: boolean; result: Json; errorData?: Json; logLines: string[] };
/** from the client: checked where it is used */
export type Message = any;

/** What a client may have under way at once; more is its fault, or more than the server can do for it. */
const MAX_UNDER_WAY = new Map([
  ["Mutation", 1000],
  ["Action", 1000],
]);

export class Session {
  hub: Hub;
  origin: Origin;
  connection: WebSocketConnection;
  #version = { querySet: 0, identity: 0, ts: 0n };
  #caller: Caller = NOBODY;
  #queries: Map<number, Followed> = new Map();
  /** Messages are handled in order. */
  #messages: Promise<unknown> = Promise.resolve();
  /** Transitions follow each other; none waits for a message. */
  #transitions: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** How many messages of a type are under way. */
  #underWay: Map<string, number> = new Map();
  /** Whether a mutation of its own was committed and not answered yet. */
  #isUnanswered = false;
  /** The client's name for itself, also after it has connected again. */
  #sessionId = "";

  constructor(hub: Hub, connection: WebSocketConnection, origin: Origin) {
    this.hub = hub;
    this.origin = origin;
    this.#caller = { ...NOBODY, origin };
    this.connection = connection;
    connection.onMessage = (text) => {
      try {
        this.#take(JSON.parse(text));
      } catch (error) {
        this.#fail(error);
      }
    };
  }

  #take(message: Message) {
    if (this.#closed) return;
    const { type } = message;
    const count = (this.#underWay.get(type) ?? 0) + 1;
    const most = MAX_UNDER_WAY.get(type) ?? Infinity;
    if (count > most)
      return this.#refuse(
        "TooManyConcurrentRequests",
        `${most} ${type.toLowerCase()}s are under way`,
      );
    this.#underWay.set(type, count);
    const over = () => this.#underWay.set(type, (this.#underWay.get(type) ?? 0) - 1);
    const handled = this.#messages.then(() => this.#receive(message, over));
    this.#messages = handled.catch((error) => this.#fail(error));
  }

  /**
   * Ends the connection; the client comes back later.
   * @param code that clients know
   */
  #refuse(code: string, reason: string) {
    if (!this.#closed) this.connection.close(1013, `${code}: ${reason}`);
  }

  /** @param work one operation */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const { wall } = this.hub.deployment.services.timeLimits.operation;
    const timer = setTimeout(
      () => this.#refuse("SystemTimeoutError", `an operation took more than ${wall} s`),
      wall * 1000,
    );
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }

  close() {
    this.#closed = true;
    this.#queries.clear();
  }

  ping() {
    this.#send({ type: "Ping" });
  }

  /** @param changed `component/table`; null: everything may have */
  invalidate(changed: Set<string> | null) {
    let any = false;
    for (const query of this.#queries.values()) {
      const touched =
        changed === null ||
        query.reads === null ||
        [...changed].some((each) => query.reads?.has(each));
      if (touched) query.stale = any = true;
    }
    // An optimistic update goes with the first transition after its answer: what it stands for must not come before.
    if (any && !this.#isUnanswered)
      void this.#transition(() => {}, false).catch((error) => this.#fail(error));
  }

  /** Until the transitions that are due have been sent. */
  async settle() {
    await this.#transitions.catch(() => {});
  }

  #fail(error: unknown) {
    if (!(error instanceof ApiError)) console.error(error);
    this.#send({
      type: "FatalError",
      error: error instanceof Error ? error.message : String(error),
    });
    this.connection.close(1008, "FatalError");
  }

  #send(message: object) {
    if (!this.#closed) this.connection.send(JSON.stringify(message));
  }

  /** @param over to be called when it is dealt with */
  async #receive(message: Message, over: () => void) {
    if (message.type === "Action") {
      // Not at its turn's end: actions run beside all that comes after them, for as long as an action may.
      void this.#act(message)
        .catch((error) => this.#fail(error))
        .finally(over);
      return;
    }
    try {
      await this.#inTime(this.#handle(message));
    } finally {
      over();
    }
  }

  async #handle(message: Message) {
    switch (message.type) {
      case "Connect":
        this.#sessionId = String(message.sessionId ?? "");
        break;
      case "Authenticate":
        await this.#authenticate(message);
        break;
      case "ModifyQuerySet":
        await this.#modify(message);
        break;
      case "Mutation":
        await this.#mutate(message);
        break;
      default:
        break; // Event is telemetry.
    }
  }

  async #authenticate(message: Message) {
    this.#checkBase(message.baseVersion, this.#version.identity);
    let caller: Caller;
    try {
      caller = await this.#identify(message);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#send({
        type: "AuthError",
        error: error.message,
        baseVersion: message.baseVersion,
        authUpdateAttempted: true,
      });
      return;
    }
    await this.#transition(() => {
      this.#caller = caller;
      for (const query of this.#queries.values()) query.stale = true;
      return { identity: message.baseVersion + 1 };
    }, true);
  }

  #checkBase(given: unknown, current: number) {
    if (given === current) return;
    throw new ApiError(
      400,
      "BaseVersionMismatch",
      `Base version ${given} passed up doesn't match the current version`,
    );
  }

  async #identify({ tokenType, value, impersonating }: Message): Promise<Caller> {
    const { deployment, instance } = this.hub;
    switch (tokenType) {
      case "Admin":
        requireKey(String(value), instance.adminKey, instance.name);
        return {
          admin: true,
          user: impersonating == null ? null : asUser(impersonating),
          origin: this.origin,
        };
      case "User":
        return {
          admin: false,
          user: await verifyToken(deployment.live?.auth ?? [], String(value), deployment.services),
          token: String(value),
          origin: this.origin,
        };
      default:
        return { ...NOBODY, origin: this.origin };
    }
  }

  async #modify({ baseVersion, newVersion, modifications }: Message) {
    this.#checkBase(baseVersion, this.#version.querySet);
    await this.#transition(() => {
      const removed = [];
      for (const { type, queryId, udfPath, args, componentPath } of modifications) {
        if (type === "Add") {
          const component = componentPath ?? undefined;
          this.#queries.set(queryId, {
            udfPath,
            args,
            component,
            shown: null,
            reads: null,
            stale: true,
          });
        } else if (this.#queries.delete(queryId)) {
          removed.push({ type: "QueryRemoved", queryId });
        }
      }
      return { querySet: newVersion, modifications: removed };
    }, true);
  }

  async #mutate(message: Message) {
    const { requestId } = message;
    // Clients send what was not answered again when they connect again: it must not run twice.
    const request = `${this.#sessionId} ${requestId}`;
    const alongside = (transaction: Transaction, { value, logLines }: FunctionResult) => {
      transaction.afterwards(() => {
        this.hub.keep(request, { success: true, result: value, logLines });
        this.#isUnanswered = true;
      });
    };
    try {
      const answer = await this.hub.once(request, () => this.#call("mutation", message, alongside));
      // A client may look at another's results once it has this answer.
      await this.hub.flush();
      const ts = encodeTimestamp(this.hub.timestamp);
      this.#send({
        type: "MutationResponse",
        requestId,
        ...answer,
        ...(answer.success ? { ts } : {}),
      });
    } finally {
      this.#isUnanswered = false;
    }
    // PyPI's client waits for it after a ConvexError too.
    await this.#transition(() => {}, true);
  }

  async #act(message: Message) {
    const answer = await this.#call("action", message);
    this.#send({ type: "ActionResponse", requestId: message.requestId, ...answer });
  }

  async #call(
    kind: Kind,
    { udfPath, args, componentPath }: Message,
    alongside?: Invocation["alongside"],
  ): Promise<Answer> {
    const component = componentPath ?? undefined;
    try {
      const call = {
        kind,
        path: udfPath,
        args,
        ...(component === undefined ? {} : { component }),
        ...(alongside && { alongside }),
      };
      const { value, logLines } = await this.hub.functions.call(call, this.#caller);
      return { success: true, result: value, logLines };
    } catch (error) {
      const failure = asFailure(error);
      const data = failure.data === undefined ? {} : { errorData: failure.data };
      return { success: false, result: serverError(failure), ...data, logLines: failure.logLines };
    }
  }

  /**
   * Goes to the next version.
   * @param change made at its turn
   * @param always whether to send it when no result has changed
   */
  #transition(
    change: () => { querySet?: number; identity?: number; modifications?: object[] } | undefined,
    always: boolean,
  ) {
    const run = async () => {
      if (this.#closed) return;
      const { timestamp } = this.hub;
      const { modifications: given = [], ...versions } = change() ?? {};
      const modifications = [...given];
      for (const [queryId, query] of this.#queries) {
        if (!query.stale) continue;
        query.stale = false;
        const { key, ...result } = await this.#evaluate(query);
        if (key === query.shown) continue;
        query.shown = key;
        modifications.push({ queryId, ...result, journal: null });
      }
      if (modifications.length === 0 && !always) return;
      const startVersion = describe(this.#version);
      this.#version = { ...this.#version, ...versions, ts: timestamp };
      this.#send({
        type: "Transition",
        startVersion,
        endVersion: describe(this.#version),
        modifications,
      });
    };
    const done = this.#transitions.then(run);
    this.#transitions = done.catch(() => {});
    return done;
  }

  /** A query's result, and what tells it from another. */
  async #evaluate(query: Followed) {
    const { udfPath, args, component } = query;
    try {
      const call = {
        kind: "query" as Kind,
        path: udfPath,
        args,
        ...(component === undefined ? {} : { component }),
      };
      const { value, logLines, reads } = await this.hub.functions.call(call, this.#caller);
      query.reads = reads;
      return { key: `value ${JSON.stringify(value)}`, type: "QueryUpdated", value, logLines };
    } catch (error) {
      const failure = asFailure(error);
      query.reads = null;
      const data = failure.data === undefined ? {} : { errorData: failure.data };
      const shown = { errorMessage: serverError(failure), ...data, logLines: failure.logLines };
      return { key: `error ${failure.text}`, type: "QueryFailed", ...shown };
    }
  }
}

function describe({ querySet, identity, ts }: { querySet: number; identity: number; ts: bigint }) {
  return { querySet, identity, ts: encodeTimestamp(ts) };
}
