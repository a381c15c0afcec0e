/**
 * Timestamps as clients send and get them: base64 of an unsigned 64-bit integer, little endian.
 */

/** @param timestamp nanoseconds since 1970 */
export function encodeTimestamp(timestamp: bigint) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(timestamp);
  return bytes.toString("base64");
}

/** @returns null for what is none */
export function decodeTimestamp(text: unknown): bigint | null {
  if (typeof text !== "string" || !/^[A-Za-z0-9+/]{11}=$/.test(text)) return null;
  return Buffer.from(text, "base64").readBigUInt64LE();
}
