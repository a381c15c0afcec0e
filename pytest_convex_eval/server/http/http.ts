/** Requests in, JSON out. */

import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";

import { ApiError, BadRequest } from "../errors.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Json } from "../protocol.ts";

/** The largest push the real backend takes, in bytes, packed or not. */
const MAX_BODY_BYTES = 200 * 1024 * 1024;

const limit = { maxOutputLength: MAX_BODY_BYTES };
const unpackers = new Map(
  Object.entries({
    br: (body: Buffer) => promisify(zlib.brotliDecompress)(body, limit),
    gzip: (body: Buffer) => promisify(zlib.gunzip)(body, limit),
    identity: (body: Buffer) => body,
  }),
);

export interface Request {
  method: string;
  url: URL;
  /** The header, or the empty string. */
  authorization: string;
  /** The body; raises BadRequest. */
  json: () => Promise<Json>;
  /** The body as it came; raises ApiError when it is larger. */
  bytes: (limit: number) => Promise<Buffer>;
  incoming: IncomingMessage;
}

/** What is sent as it is; `isOwn`: by the app's code, which says itself who may read it. */
export type Head = { status: number; headers: [string, string][]; isOwn?: boolean };
export type PlainAnswer = Head & { bytes: Buffer };
export type StreamedAnswer = Head & { stream: Readable };
export type Answer =
  | { json: unknown }
  | { text: string; status?: number }
  | PlainAnswer
  | StreamedAnswer;
export type Handler = (request: Request) => Promise<Answer> | Answer;

/** The listener of an HTTP server whose every answer is `handle`'s. */
export function listener(
  handle: Handler,
): (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> {
  return async (incoming, outgoing) => {
    outgoing.setHeader("Access-Control-Allow-Origin", "*");
    try {
      const answer = await handle({
        method: incoming.method ?? "GET",
        url: new URL(incoming.url ?? "/", "http://localhost"),
        authorization: incoming.headers.authorization ?? "",
        json: () => readJson(incoming),
        bytes: (limit) => readBytes(incoming, limit),
        incoming,
      });
      if ("isOwn" in answer) outgoing.removeHeader("Access-Control-Allow-Origin");
      if ("bytes" in answer) {
        sendPlain(outgoing, answer);
      } else if ("stream" in answer) {
        await sendStream(outgoing, answer);
      } else if ("text" in answer) {
        send(outgoing, answer.status ?? 200, "text/plain; charset=utf-8", answer.text);
      } else {
        send(outgoing, 200, "application/json", JSON.stringify(answer.json));
      }
    } catch (error) {
      const told = error instanceof ApiError ? error : unexpected(error);
      const body = JSON.stringify({ code: told.code, message: told.message });
      send(outgoing, told.status, "application/json", body);
      incoming.resume();
    }
  };
}

function send(outgoing: ServerResponse, status: number, type: string, body: string) {
  if (outgoing.destroyed) return;
  outgoing.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  outgoing.end(body);
}

function sendPlain(outgoing: ServerResponse, { status, headers, bytes }: PlainAnswer) {
  if (outgoing.destroyed) return;
  setHead(outgoing, status, headers);
  if (status !== 204 && status !== 304) outgoing.setHeader("Content-Length", bytes.length);
  outgoing.end(bytes);
}

/** Sends each part as it comes; a client that goes away ends the stream. */
async function sendStream(outgoing: ServerResponse, { status, headers, stream }: StreamedAnswer) {
  const isHead = outgoing.req.method === "HEAD";
  if (outgoing.destroyed || isHead) stream.destroy();
  if (outgoing.destroyed) return;
  setHead(outgoing, status, headers);
  outgoing.flushHeaders();
  if (isHead) outgoing.end();
  // What ends it early ends the connection: the client sees that something is missing.
  else await pipeline(stream, outgoing).catch(() => {});
}

function setHead(outgoing: ServerResponse, status: number, headers: [string, string][]) {
  for (const [name, value] of headers) {
    // Several cookies are several headers; of all else there is one.
    if (name.toLowerCase() === "set-cookie") outgoing.appendHeader(name, value);
    else outgoing.setHeader(name, value);
  }
  outgoing.statusCode = status;
}

function unexpected(error: unknown) {
  console.error(error);
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError(500, "InternalServerError", `Our server failed: ${message}`);
}

async function readJson(incoming: IncomingMessage): Promise<Json> {
  const body = await readBytes(incoming, MAX_BODY_BYTES);
  const encoding = incoming.headers["content-encoding"] ?? "identity";
  const unpack = unpackers.get(encoding);
  if (unpack === undefined) throw new BadRequest(`Unknown Content-Encoding ${encoding}.`);
  try {
    return JSON.parse((await unpack(body)).toString("utf8"));
  } catch (error) {
    throw new BadRequest(
      `The body can't be read: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/**
 * By its events: an iterator would take longer than all else that is done to read the body of a call.
 * @param limit bytes
 */
function readBytes(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const refuse = () => reject(new ApiError(413, "RequestTooLarge", "The body is too large."));
    let isTooLarge = Number(incoming.headers["content-length"]) > limit;
    incoming.on("data", (chunk: Buffer) => {
      // Many clients read no answer before they have sent everything: what is too large is read, and not kept.
      if (isTooLarge) return;
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= limit) return;
      isTooLarge = true;
      chunks.length = 0;
      // It did not say how long it is, and may have no end.
      refuse();
    });
    incoming.on("end", () => (isTooLarge ? refuse() : resolve(Buffer.concat(chunks))));
    incoming.on("error", reject);
    if (incoming.destroyed) reject(new Error("The client has gone."));
  });
}
