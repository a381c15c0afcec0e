/**
 * A database index: the keys of its documents in order. An array that is searched by halves: at 10,000 documents
 * an insertion in the middle costs some microseconds, and a tree would not be faster.
 * @import { Json } from "../protocol.d.ts"
 */

import { keyOf } from "../values/keys.mjs";

/** @typedef {{ [field: string]: Json }} Document */

/** @param {Document} document @param {string} path `a.b` @returns {Json | undefined} */
export function fieldAt(document, path) {
  /** @type {Json | undefined} */
  let value = document;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return value;
}

export class SortedIndex {
  /** @type {string[]} */
  #keys = [];
  /** @type {Document[]} */
  #documents = [];

  /** @param {string} name @param {string[]} fields in order; `_id` last, which makes every key its own @param {boolean} [staged] */
  constructor(name, fields, staged = false) {
    this.name = name;
    this.fields = fields;
    this.staged = staged;
  }

  get size() {
    return this.#keys.length;
  }

  /** In order. */
  get documents() {
    return [...this.#documents];
  }

  /** @param {Document} document */
  keyOf(document) {
    let key = "";
    for (const field of this.fields) key += keyOf(fieldAt(document, field));
    return key;
  }

  /** @param {Document} document */
  add(document) {
    const key = this.keyOf(document);
    const at = this.#from(key);
    this.#keys.splice(at, 0, key);
    this.#documents.splice(at, 0, document);
  }

  /** @param {Document} document */
  delete(document) {
    const key = this.keyOf(document);
    const at = this.#from(key);
    if (this.#keys[at] !== key) throw new Error(`Index ${this.name} has lost a document.`);
    this.#keys.splice(at, 1);
    this.#documents.splice(at, 1);
  }

  /**
   * The first document at or after `start` and before `end`, or the last one with `descending`.
   * @param {string} start @param {string} end @param {boolean} descending
   * @returns {{ key: string, document: Document } | null}
   */
  first(start, end, descending) {
    const at = descending ? this.#from(end) - 1 : this.#from(start);
    const key = this.#keys[at];
    const document = this.#documents[at];
    if (key === undefined || document === undefined || (descending ? key < start : key >= end)) return null;
    return { key, document };
  }

  /** The position of the first key that is not below `key`. @param {string} key */
  #from(key) {
    let low = 0;
    let high = this.#keys.length;
    // Documents are mostly added at the end: `_creationTime` grows.
    const last = this.#keys[high - 1];
    if (last !== undefined && last < key) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {string} */ (this.#keys[middle]) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
