/** A response that is sent while the HTTP action goes on producing it. */

import { Readable } from "node:stream";

import { UserError } from "../database/user_error.ts";
import type { Json } from "../protocol.ts";

export type Head = { status: number; headers: [string, string][] };

export class ResponseStream {
  limit: number;
  body: Readable;
  #bytes = 0;
  #goOn = () => {};
  #begin = (_head: Head) => {};
  #leave = () => {};
  /** Resolved once the action has returned a response that has more to come. */
  head: Promise<Head> = new Promise((resolve) => (this.#begin = resolve));
  /** Resolved once nobody reads any more. */
  gone: Promise<void> = new Promise((resolve) => (this.#leave = resolve));

  /** @param limit bytes */
  constructor(limit: number) {
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

  /** What the action's process asks for. */
  operations: Map<string, (args: any) => Json | Promise<Json>> = new Map(
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

  /** Until the next part is wanted. */
  async #write(bytes: Buffer) {
    this.#bytes += bytes.length;
    if (this.#bytes > this.limit) throw new UserError(tooLarge(this.limit));
    if (this.body.destroyed || this.body.push(bytes)) return;
    await new Promise((resolve) => (this.#goOn = () => resolve(null)));
  }

  /** @param error why it ends before its time */
  end(error: Error | null) {
    if (error === null) this.body.push(null);
    else this.body.destroy(error);
  }
}

/** @param limit bytes */
export function tooLarge(limit: number) {
  return `HTTP actions support responses up to ${limit / 1024 / 1024} MiB`;
}
