/**
 * Document ids: lower-case base32 of the table's number (a varint), 16 bytes of the document's own, and a
 * Fletcher-16 checksum of both.
 */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS = new Map([...ALPHABET].map((character, i) => [character, i]));
const INTERNAL_BYTES = 16;
const SHORTEST = 31;
const LONGEST = 37;

export type DecodedId = { table: number; internal: Uint8Array };

/** @param internal 16 bytes */
export function encodeId(table: number, internal: Uint8Array): string {
  const bytes = [];
  let rest = table;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest, ...internal);
  const sum = fletcher16(bytes);
  bytes.push(sum & 0xff, sum >> 8);
  return toBase32(bytes);
}

/** @returns null where it is no id */
export function decodeId(text: string): DecodedId | null {
  if (typeof text !== "string" || text.length < SHORTEST || text.length > LONGEST) return null;
  const bytes = fromBase32(text);
  if (bytes === null) return null;
  const body = bytes.slice(0, -2);
  const sum = (bytes.at(-2) ?? 0) | ((bytes.at(-1) ?? 0) << 8);
  if (fletcher16(body) !== sum) return null;
  let table = 0;
  let length = 0;
  for (;;) {
    const byte = body[length];
    if (byte === undefined || length === 5) return null;
    table += (byte & 0x7f) * 2 ** (7 * length);
    length += 1;
    if (byte < 0x80) break;
  }
  if (body.length - length !== INTERNAL_BYTES) return null;
  return { table, internal: Uint8Array.from(body.slice(length)) };
}

/** RFC 1145's variant with 8-bit sums modulo 255. */
function fletcher16(bytes: Iterable<number>) {
  let low = 0;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 255;
    high = (high + low) % 255;
  }
  return low | (high << 8);
}

function toBase32(bytes: number[]) {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(buffer >> (bits - 5)) & 31];
    buffer &= 0xff;
  }
  return bits > 0 ? text + ALPHABET[(buffer << (5 - bits)) & 31] : text;
}

function fromBase32(text: string): number[] | null {
  const bytes = [];
  let buffer = 0;
  let bits = 0;
  for (const character of text) {
    const digit = DIGITS.get(character);
    if (digit === undefined) return null;
    buffer = (buffer << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
    buffer &= 0xfff;
  }
  const padding = buffer & ((1 << bits) - 1);
  return bits < 5 && padding === 0 ? bytes : null;
}
