/**
 * A response that is sent while the HTTP action goes on producing it.
 * @import { Json } from "../protocol.d.ts"
 */

import { Readable } from "node:stream";

import { UserError } from "../database/user_error.mjs";

/** @typedef {{ status: number, headers: [string, string][] }} Head */

export class ResponseStream {
  #bytes = 0;
  #goOn = () => {};
  #begin = (/** @type {Head} */ _head) => {};
  #leave = () => {};
  /** Resolved once the action has returned a response that has more to come. @type {Promise<Head>} */
  head = new Promise((resolve) => (this.#begin = resolve));
  /** Resolved once nobody reads any more. @type {Promise<void>} */
  gone = new Promise((resolve) => (this.#leave = resolve));

  /** @param {number} limit bytes */
  constructor(limit) {
    this.limit = limit;
    this.body = new Readable({
      read: () => this.#goOn(),
      destroy: (error, done) => {
        this.#leave();
        this.#goOn();
        done(error);
      },
    });
    // Whoever sends it is told by its end.
    this.body.on("error", () => {});
  }

  /** What the action's process asks for. @type {Map<string, (args: any) => Json | Promise<Json>>} */
  operations = new Map(
    Object.entries({
      "http/head": ({ status, headers }) => {
        this.#begin({ status, headers });
        return null;
      },
      "http/chunk": async ({ bytes }) => {
        await this.#write(Buffer.from(String(bytes), "base64"));
        return null;
      },
      "http/gone": async () => {
        await this.gone;
        return null;
      },
    }),
  );

  /** Until the next part is wanted. @param {Buffer} bytes */
  async #write(bytes) {
    this.#bytes += bytes.length;
    if (this.#bytes > this.limit) throw new UserError(tooLarge(this.limit));
    if (this.body.destroyed || this.body.push(bytes)) return;
    await new Promise((resolve) => (this.#goOn = () => resolve(null)));
  }

  /** @param {Error | null} error why it ends before its time */
  end(error) {
    if (error === null) this.body.push(null);
    else this.body.destroy(error);
  }
}

/** @param {number} limit bytes */
export function tooLarge(limit) {
  return `HTTP actions support responses up to ${limit / 1024 / 1024} MiB`;
}
