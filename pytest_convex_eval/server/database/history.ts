/**
 * The database as it was: what the last commits replaced, for as long as a client may ask for the state before them.
 * Clients are promised half a minute (`ConvexHttpClient.consistentQuery`).
 */

import { ApiError, BadRequest } from "../errors.ts";
import { sizeOf } from "../values/values.ts";
import type { Document } from "./sorted_index.ts";
import type { Change, Transaction } from "./transaction.ts";

const KEPT_MILLISECONDS = 60_000;
/** Of documents that are kept for the past alone. */
const KEPT_BYTES = 64 * 1024 * 1024;
/** Of a change without its document. */
const CHANGE_BYTES = 100;

/** `until`: milliseconds of `performance.now()` */
export type Commit = { timestamp: bigint; until: number; bytes: number; changes: Change[] };

export class History {
  kept: { milliseconds: number; bytes: number };
  /** Of the last commit, or a later one that somebody was told: nanoseconds since 1970, growing with each commit. */
  timestamp = BigInt(Date.now()) * 1_000_000n;
  /** The first that can be gone back to. */
  #oldest = this.timestamp;
  /** The oldest first. */
  #commits: Commit[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  /** What is being committed knows it already, and nobody else. */
  #reserved: bigint | null = null;

  constructor({
    milliseconds = KEPT_MILLISECONDS,
    bytes = KEPT_BYTES,
  }: { milliseconds?: number; bytes?: number } = {}) {
    this.kept = { milliseconds, bytes };
  }

  /** A timestamp whose state is the one of now. */
  now() {
    const now = BigInt(Date.now()) * 1_000_000n;
    // Whoever was told of a later one would miss the commit that has this one.
    if (this.#reserved === null && now > this.timestamp) this.timestamp = now;
    return this.timestamp;
  }

  /** The timestamp of the transaction that is committed next, or released. */
  reserve(): bigint {
    const now = BigInt(Date.now()) * 1_000_000n;
    this.#reserved ??= now > this.timestamp ? now : this.timestamp + 1n;
    return this.#reserved;
  }

  /** The reserved one is nobody's. */
  release() {
    this.#reserved = null;
  }

  /** Of what is committed now. */
  #next() {
    this.timestamp = this.reserve();
    this.#reserved = null;
    return this.timestamp;
  }

  /** A transaction that is being committed. */
  add(transaction: Transaction) {
    if (!transaction.isUndoable) return this.cut();
    const { changes } = transaction;
    if (changes.length === 0) {
      // What it gave back may hold its timestamp.
      if (this.#reserved !== null) this.#next();
      return;
    }
    const bytes = changes.reduce(
      (sum, { old }) => sum + CHANGE_BYTES + (old === null ? 0 : sizeOf(old)),
      0,
    );
    const until = performance.now() + this.kept.milliseconds;
    this.#commits.push({ timestamp: this.#next(), until, bytes, changes: [...changes] });
    this.#bytes += bytes;
    this.#forget();
  }

  /** From now on nobody can go back: what was is not made of documents alone (code, variables, numbers of tables). */
  cut() {
    this.#oldest = this.#next();
    this.#commits = [];
    this.#bytes = 0;
  }

  /** Lets go of what is too old or too large. */
  #forget() {
    const now = performance.now();
    for (let [first] = this.#commits; first !== undefined; [first] = this.#commits) {
      if (first.until > now && this.#bytes <= this.kept.bytes) break;
      this.#oldest = first.timestamp;
      this.#bytes -= first.bytes;
      this.#commits.shift();
    }
    const [first] = this.#commits;
    if (first === undefined || this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#forget();
      },
      Math.max(first.until - now, 1),
    ).unref();
  }

  /**
   * Has `work`, which must not write and must be alone, done on the state of a time.
   * @throws ApiError where that state is not known any more, or not yet
   */
  async at<T>(timestamp: bigint, work: () => Promise<T>): Promise<T> {
    this.#forget();
    if (timestamp > this.now())
      throw new BadRequest(`The timestamp ${timestamp} is in the future.`);
    if (timestamp < this.#oldest) {
      const text = `The timestamp ${timestamp} is out of the retention window, which begins at ${this.#oldest}. Ask for another timestamp.`;
      throw new ApiError(400, "TimestampOutOfRetention", text);
    }
    const first = this.#commits.findIndex((each) => each.timestamp > timestamp);
    return await without(
      first < 0 ? [] : this.#commits.slice(first).flatMap(({ changes }) => changes),
      work,
    );
  }
}

/**
 * Has `work`, which must not write, done on what was before some changes, the last ones that were made.
 * @param changes in order
 */
export async function without<T>(changes: Change[], work: () => Promise<T>): Promise<T> {
  const written = changes.map(({ table, id }) =>
    id === null ? null : (table.documents.get(id) ?? null),
  );
  const set = ({ table, id }: Change, document: Document | null) => {
    if (id === null) return; // An empty table is as good as none.
    if (document === null) table.drop(id);
    else table.put(document);
  };
  for (const change of changes.toReversed()) set(change, change.old);
  try {
    return await work();
  } finally {
    // The last state of each document: it is there once for each of its changes.
    for (const [i, change] of changes.entries()) set(change, written[i] ?? null);
  }
}
