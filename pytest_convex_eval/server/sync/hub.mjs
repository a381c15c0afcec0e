/**
 * All clients that follow queries, and the version of the data that they have seen.
 * @import { IncomingMessage } from "node:http"
 * @import { Duplex } from "node:stream"
 * @import { Deployment } from "../deployment.mjs"
 * @import { Instance } from "../api/callers.mjs"
 * @import { Answer } from "./session.mjs"
 */

import { FunctionApi } from "../api/function_api.mjs";
import { originOf } from "../running/identity.mjs";
import { Session } from "./session.mjs";
import { accept } from "./websocket.mjs";

const PATH = /^\/api\/(?:[^/]+\/)?sync$/;
const PING_MILLISECONDS = 15_000;
/** More than a client has in flight when it loses its connection. */
const KEPT_ANSWERS = 1000;

export class Hub {
  /** @type {Set<Session>} */
  #sessions = new Set();
  /** @type {Map<string, Promise<Answer>>} */
  #answers = new Map();
  /** @param {Deployment} deployment @param {Instance} instance */
  constructor(deployment, instance) {
    this.deployment = deployment;
    this.instance = instance;
    this.functions = new FunctionApi(deployment, instance);
    deployment.services.onChange((changed) => {
      for (const session of this.#sessions) session.invalidate(changed);
    });
    setInterval(() => {
      for (const session of this.#sessions) session.ping();
    }, PING_MILLISECONDS).unref();
  }

  /** @param {IncomingMessage} incoming @param {Duplex} stream @param {Buffer} head */
  connect(incoming, stream, head) {
    stream.on("error", () => {});
    const [path = ""] = (incoming.url ?? "").split("?");
    if (!PATH.test(path)) {
      stream.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const connection = accept(incoming, stream, head);
    if (connection === null) return;
    const session = new Session(this, connection, originOf(incoming));
    this.#sessions.add(session);
    connection.onClose = () => {
      session.close();
      this.#sessions.delete(session);
    };
  }

  /** Grows with each commit. */
  get timestamp() {
    return this.deployment.services.history.timestamp;
  }

  /** What requests were answered by another process, whose clients now come here. @param {Iterable<[string, Answer]>} answers */
  restore(answers) {
    for (const [request, answer] of answers) this.#answers.set(request, Promise.resolve(answer));
  }

  /** Keeps an answer beyond this process. In the commit that it tells of. @param {string} request @param {Answer} answer */
  keep(request, answer) {
    this.deployment.services.journal?.answer(request, answer, KEPT_ANSWERS);
  }

  /** What a request is answered, which runs once however often it comes. @param {string} request @param {() => Promise<Answer>} run */
  once(request, run) {
    const known = this.#answers.get(request);
    if (known !== undefined) return known;
    const answer = run();
    this.#answers.set(request, answer);
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= KEPT_ANSWERS) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }

  /** Until every client has been told what has changed so far. */
  async flush() {
    await Promise.all([...this.#sessions].map((session) => session.settle()));
  }
}
