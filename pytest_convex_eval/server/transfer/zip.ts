/**
 * ZIP archives (PKWARE's APPNOTE.TXT 6.3), as much as data snapshots need: deflated or stored entries, and sizes of
 * 64 bits when reading.
 */

import zlib from "node:zlib";

/** What is no archive, or one of a kind that can't be read. */
export class ZipError extends Error {}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const MAX_32 = 0xffff_ffff;
const VERSION = 20;
const UTF8_NAMES = 0x0800;
const STORED = 0;
const DEFLATED = 8;
/** 1980-01-01: equal contents make equal archives. */
const DATE = 0x0021;

/**
 * @param entries names and contents
 * @throws ZipError for more than 4 GiB
 */
export function writeZip(entries: Iterable<[string, Buffer]>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  let count = 0;
  for (const [name, content] of entries) {
    const packed = zlib.deflateRawSync(content);
    const nameBytes = Buffer.from(name);
    // Version, flags, method, time, date, checksum, sizes, length of the name, no extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(VERSION, 0);
    common.writeUInt16LE(UTF8_NAMES, 2);
    common.writeUInt16LE(DEFLATED, 4);
    common.writeUInt16LE(DATE, 8);
    common.writeUInt32LE(zlib.crc32(content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    parts.push(uint32(LOCAL), common, nameBytes, packed);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(uint32(CENTRAL), uint16(VERSION), common, place, nameBytes);
    offset += 4 + common.length + nameBytes.length + packed.length;
    count += 1;
    if (offset > MAX_32 || count > 0xffff)
      throw new ZipError("The data are too large for one archive.");
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(END_BYTES);
  end.writeUInt32LE(END, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

function uint32(value: number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint16(value: number) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/**
 * @param limit bytes that its contents may have together
 * @returns names and contents of its files, in its order
 * @throws ZipError
 */
export function readZip(archive: Buffer, limit: number): [string, Buffer][] {
  try {
    return [...readEntries(archive, limit)];
  } catch (error) {
    if (error instanceof ZipError) throw error;
    throw new ZipError(
      `The ZIP archive is damaged: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function* readEntries(archive: Buffer, limit: number): Generator<[string, Buffer]> {
  let { at, count } = findDirectory(archive);
  let left = limit;
  for (; count > 0; count--) {
    if (archive.readUInt32LE(at) !== CENTRAL)
      throw new ZipError("The ZIP archive's directory is damaged.");
    const [method, crc] = [archive.readUInt16LE(at + 10), archive.readUInt32LE(at + 16)];
    const lengths = [28, 30, 32].map((place) => archive.readUInt16LE(at + place));
    const [nameLength = 0, extraLength = 0, commentLength = 0] = lengths;
    const name = archive.toString("utf8", at + 46, at + 46 + nameLength);
    const extra = archive.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const [size = 0, packedSize = 0, offset = 0] = wide(
      extra,
      [24, 20, 42].map((place) => archive.readUInt32LE(at + place)),
    );
    at += 46 + nameLength + extraLength + commentLength;
    if (name.endsWith("/")) continue;
    left -= size;
    if (left < 0) throw new ZipError("The ZIP archive's contents are too large.");
    const start =
      offset + 30 + archive.readUInt16LE(offset + 26) + archive.readUInt16LE(offset + 28);
    const packed = archive.subarray(start, start + packedSize);
    if (method !== STORED && method !== DEFLATED)
      throw new ZipError(`${name} is packed in a way that can't be read.`);
    const content =
      method === STORED
        ? packed
        : zlib.inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
    if (content.length !== size || zlib.crc32(content) !== crc)
      throw new ZipError(`${name} is damaged.`);
    yield [name, content];
  }
}

function findDirectory(archive: Buffer) {
  const first = Math.max(archive.length - END_BYTES - MAX_COMMENT_BYTES, 0);
  for (let end = archive.length - END_BYTES; end >= first; end--) {
    if (archive.readUInt32LE(end) !== END) continue;
    const [count, at] = [archive.readUInt16LE(end + 10), archive.readUInt32LE(end + 16)];
    if (
      (count !== 0xffff && at !== MAX_32) ||
      end < 20 ||
      archive.readUInt32LE(end - 20) !== LOCATOR_64
    )
      return { count, at };
    const wideEnd = Number(archive.readBigUInt64LE(end - 12));
    if (archive.readUInt32LE(wideEnd) !== END_64)
      throw new ZipError("The ZIP archive's end is damaged.");
    return {
      count: Number(archive.readBigUInt64LE(wideEnd + 32)),
      at: Number(archive.readBigUInt64LE(wideEnd + 48)),
    };
  }
  throw new ZipError("The file is no ZIP archive.");
}

/** Size, packed size and offset: those that are too large for 32 bits stand in an extra field. */
function wide(extra: Buffer, narrow: number[]) {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let next = at + 4;
    return narrow.map((value) => {
      if (value !== MAX_32) return value;
      next += 8;
      return Number(extra.readBigUInt64LE(next - 8));
    });
  }
  return narrow;
}
