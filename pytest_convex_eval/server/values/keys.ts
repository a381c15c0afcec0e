/**
 * Values as strings that sort as the values do, by code unit: the keys of indexes, and the one definition of
 * the order of values. Characters stand for bytes (0 to 255).
 *
 * The order (https://docs.convex.dev/database/types#convex-values): undefined, null, int64, float64 (a total
 * order, -0 before 0, NaN by its sign at the ends), boolean, string (UTF-8 bytes), bytes, array (element-wise,
 * then length), object (its sorted pairs of name and value). No key is the beginning of another.
 */

import { special, specialBytes } from "./values.ts";
import type { Json } from "../protocol.ts";

const UNDEFINED = "\x01";
const NULL = "\x02";
const INT64 = "\x03";
const FLOAT64 = "\x04";
const BOOLEAN = "\x05";
const STRING = "\x06";
const BYTES = "\x07";
const ARRAY = "\x08";
const OBJECT = "\x0a";
const GREATEST_INT64 = INT64 + "\xff".repeat(8);
/** Ends arrays and objects: below every tag, so that the shorter comes first. */
const END = "\x00";
/** Ends texts, in which a zero byte becomes `\0\xff`. */
const TEXT_END = "\x00\x01";

/** Greater than every key that begins with what it follows. */
export const LAST = "\xff";

const scratch = Buffer.alloc(8);

export function keyOf(value: Json | undefined): string {
  if (value === undefined) return UNDEFINED;
  if (value === null) return NULL;
  if (typeof value === "boolean") return value ? `${BOOLEAN}\x02` : `${BOOLEAN}\x01`;
  if (typeof value === "number") return FLOAT64 + floatKey(value);
  if (typeof value === "string") return STRING + textKey(value);
  if (Array.isArray(value)) {
    let key = ARRAY;
    for (const each of value) key += keyOf(each);
    return key + END;
  }
  switch (special(value)) {
    case "$undefined":
      return UNDEFINED;
    case "$integer":
      scratch.writeBigUInt64BE(
        BigInt.asUintN(64, specialBytes(value).readBigInt64LE()) ^ (1n << 63n),
      );
      return INT64 + scratch.toString("latin1");
    case "$commitTs":
      // Greater than what any commit before had, as the client library compares it too: the greatest int64.
      return GREATEST_INT64;
    case "$float":
      return FLOAT64 + floatKey(specialBytes(value).readDoubleLE());
    case "$bytes":
      return BYTES + escaped(specialBytes(value).toString("latin1"));
    default: {
      let key = OBJECT;
      for (const name of Object.keys(value).sort())
        key += STRING + textKey(name) + keyOf(value[name]);
      return key + END;
    }
  }
}

/** IEEE 754's total order, as its bits with the sign turned around. */
function floatKey(value: number) {
  scratch.writeDoubleBE(value);
  if ((scratch[0] ?? 0) & 0x80) for (let i = 0; i < 8; i++) scratch[i] = ~(scratch[i] ?? 0);
  else scratch[0] = (scratch[0] ?? 0) | 0x80;
  return scratch.toString("latin1");
}

function textKey(text: string) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a key escapes only what is not ASCII or is 0.
  return escaped(/^[\x01-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1"));
}

function escaped(bytes: string) {
  return (bytes.includes("\x00") ? bytes.replaceAll("\x00", "\x00\xff") : bytes) + TEXT_END;
}

/** Negative, zero or positive, as `a` sorts before, with or after `b`. */
export function compareValues(a: Json | undefined, b: Json | undefined) {
  const [left, right] = [keyOf(a), keyOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
