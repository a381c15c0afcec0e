/** All clients that follow queries, and the version of the data that they have seen. */

import { FunctionApi } from "../api/function_api.ts";
import { originOf } from "../running/identity.ts";
import { Session } from "./session.ts";
import { accept } from "./websocket.ts";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Deployment } from "../deployment.ts";
import type { Instance } from "../api/callers.ts";
import type { Answer } from "./session.ts";

const PATH = /^\/api\/(?:[^/]+\/)?sync$/;
const PING_MILLISECONDS = 15_000;
/** More than a client has in flight when it loses its connection. */
const KEPT_ANSWERS = 1000;

export class Hub {
  deployment: Deployment;
  instance: Instance;
  functions: FunctionApi;
  #sessions: Set<Session> = new Set();
  #answers: Map<string, Promise<Answer>> = new Map();
  constructor(deployment: Deployment, instance: Instance) {
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

  connect(incoming: IncomingMessage, stream: Duplex, head: Buffer) {
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

  /** What requests were answered by another process, whose clients now come here. */
  restore(answers: Iterable<[string, Answer]>) {
    for (const [request, answer] of answers) this.#answers.set(request, Promise.resolve(answer));
  }

  /** Keeps an answer beyond this process. In the commit that it tells of. */
  keep(request: string, answer: Answer) {
    this.deployment.services.journal?.answer(request, answer, KEPT_ANSWERS);
  }

  /** What a request is answered, which runs once however often it comes. */
  once(request: string, run: () => Promise<Answer>) {
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
