/** The server's side of a WebSocket (RFC 6455): text messages, without extensions. */

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

export class WebSocketConnection {
  stream: Duplex;
  #received: Buffer = Buffer.alloc(0);
  /** fragments of a message that has not ended */
  #parts: Buffer[] = [];
  #closed = false;
  onMessage: (text: string) => void = () => {};
  onClose: () => void = () => {};

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on("data", (chunk) => this.#data(chunk));
    stream.on("error", () => this.#ended());
    stream.on("close", () => this.#ended());
  }

  send(text: string) {
    this.#write(TEXT, Buffer.from(text));
  }

  close(code: number, reason: string) {
    const body = Buffer.alloc(2 + Buffer.byteLength(reason));
    body.writeUInt16BE(code);
    body.write(reason, 2);
    this.#write(CLOSE, body);
    this.stream.end();
    this.#ended();
  }

  #ended() {
    if (this.#closed) return;
    this.#closed = true;
    this.onClose();
  }

  #write(opcode: number, body: Buffer) {
    if (this.#closed) return;
    const { length } = body;
    const head =
      length < 126 ? Buffer.alloc(2) : length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    if (length < 126) head[1] = length;
    else if (length < 65536) {
      head[1] = 126;
      head.writeUInt16BE(length, 2);
    } else {
      head[1] = 127;
      head.writeBigUInt64BE(BigInt(length), 2);
    }
    this.stream.write(head);
    this.stream.write(body);
  }

  #data(chunk: Buffer) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (!this.#closed && this.#frame());
  }

  /** Takes one frame off what was received; false when there is none yet. */
  #frame() {
    const data = this.#received;
    if (data.length < 2) return false;
    const [first = 0, second = 0] = data;
    let length = second & 0x7f;
    let at = 2;
    if (length === 126) {
      if (data.length < 4) return false;
      length = data.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (data.length < 10) return false;
      length = Number(data.readBigUInt64BE(2));
      at = 10;
    }
    if ((second & 0x80) === 0 || (first & 0x70) !== 0) return this.#fail(1002, "Protocol error");
    if (length > MAX_MESSAGE_BYTES) return this.#fail(1009, "The message is too large");
    if (data.length < at + 4 + length) return false;
    const mask = data.subarray(at, at + 4);
    const body = Buffer.from(data.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < length; i++) body[i] = (body[i] ?? 0) ^ (mask[i & 3] ?? 0);
    this.#received = data.subarray(at + 4 + length);
    this.#handle(first & 0x0f, (first & 0x80) !== 0, body);
    return true;
  }

  #handle(opcode: number, isLast: boolean, body: Buffer) {
    if (opcode === PING) this.#write(PONG, body);
    else if (opcode === CLOSE) this.close(body.length >= 2 ? body.readUInt16BE() : 1000, "");
    else if (opcode <= 2) {
      this.#parts.push(body);
      if (this.#parts.reduce((sum, each) => sum + each.length, 0) > MAX_MESSAGE_BYTES) {
        this.#fail(1009, "The message is too large");
      } else if (isLast) {
        const text = Buffer.concat(this.#parts).toString("utf8");
        this.#parts = [];
        this.onMessage(text);
      }
    }
  }

  #fail(code: number, reason: string) {
    this.close(code, reason);
    return false;
  }
}

/**
 * Answers a client's handshake.
 * @param head what came after the request
 * @returns null for a request that is none
 */
export function accept(
  incoming: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): WebSocketConnection | null {
  const key = incoming.headers["sec-websocket-key"];
  if (typeof key !== "string" || incoming.headers["sec-websocket-version"] !== "13") {
    stream.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return null;
  }
  const digest = createHash("sha1")
    .update(key + GUID)
    .digest("base64");
  stream.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${digest}\r\n\r\n`,
  );
  if (head.length > 0) stream.unshift(head);
  return new WebSocketConnection(stream);
}
