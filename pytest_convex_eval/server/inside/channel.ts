/**
 * The way from an isolate to the server: lines on descriptor 3. Each begins with a secret that the server sent before
 * any pushed code was there, so that code which reaches the descriptor can't speak on it.
 */

import {
  byteLength,
  charCodeAt,
  isArray,
  isFiniteNumber,
  keys,
  slice,
  stringify,
} from "./captured.ts";
import { readSync, writeSync } from "./own_node.ts";

const RESULTS = 3;
/** Hexadecimal digits. */
export const SECRET_CHARACTERS = 32;
const HEX = "0123456789abcdef";

/** @returns what says a line; `isHeld`: nobody waits for it, and there will be another one */
export function openChannel() {
  const secret = readSecret();
  let held = "";
  return (line: object, isHeld = false) => {
    held += `${secret}${encode(line)}\n`;
    // Each write wakes the server, which costs more than all that is done to make a line.
    if (isHeld) return;
    let rest = ascii(held);
    held = "";
    while (rest.length > 0) {
      try {
        // As a string: a view of bytes has getters that pushed code can replace, and reads the secret by.
        rest = slice(rest, writeSync(RESULTS, rest));
      } catch (error) {
        // The pipe is non-blocking on some systems: a full one says EAGAIN.
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      }
    }
  };
}

function readSecret() {
  const bytes = Buffer.alloc(SECRET_CHARACTERS + 1);
  let read = 0;
  while (read < bytes.length) {
    const more = readSync(0, bytes, read, bytes.length - read, null);
    if (more === 0) break;
    read += more;
  }
  const secret = bytes.toString("latin1", 0, SECRET_CHARACTERS);
  // What is in no memory any more can't be found in memory that was not cleared.
  bytes.fill(0);
  return secret;
}

/** JSON by own properties alone: no `toJSON` is looked for. */
export function encode(value: unknown): string {
  switch (typeof value) {
    case "string":
      return stringify(value);
    case "number":
      return isFiniteNumber(value) ? `${value}` : "null";
    case "boolean":
      return value ? "true" : "false";
    case "object":
      break;
    default:
      return "null";
  }
  if (value === null) return "null";
  let joined = "";
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) joined += (i > 0 ? "," : "") + encode(value[i]);
    return `[${joined}]`;
  }
  const names = keys(value);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const each = (value as Record<string, unknown>)[name];
    if (each === undefined) continue;
    joined += `${joined === "" ? "" : ","}${stringify(name)}:${encode(each)}`;
  }
  return `{${joined}}`;
}

/** JSON of one byte a character, so that what a full pipe has taken of it can be counted. */
export function ascii(json: string) {
  if (byteLength(json) === json.length) return json;
  let made = "";
  let from = 0;
  for (let i = 0; i < json.length; i++) {
    const code = charCodeAt(json, i);
    if (code < 0x80) continue;
    made += `${slice(json, from, i)}\\u`;
    for (let shift = 12; shift >= 0; shift -= 4) made += HEX[(code >> shift) & 15];
    from = i + 1;
  }
  return made + slice(json, from);
}
