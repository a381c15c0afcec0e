/**
 * A database index: the keys of its documents in order. An array that is searched by halves: at 10,000 documents
 * an insertion in the middle costs some microseconds, and a tree would not be faster.
 */

import { keyOf } from "../values/keys.ts";
import type { Json } from "../protocol.ts";

export type Document = { [field: string]: Json };

/** @param path `a.b` */
export function fieldAt(document: Document, path: string): Json | undefined {
  let value: Json | undefined = document;
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return value;
}

export class SortedIndex {
  name: string;
  fields: string[];
  staged: boolean;
  #keys: string[] = [];
  #documents: Document[] = [];

  /** @param fields in order; `_id` last, which makes every key its own */
  constructor(name: string, fields: string[], staged: boolean = false) {
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

  keyOf(document: Document) {
    let key = "";
    for (const field of this.fields) key += keyOf(fieldAt(document, field));
    return key;
  }

  add(document: Document) {
    const key = this.keyOf(document);
    const at = this.#from(key);
    this.#keys.splice(at, 0, key);
    this.#documents.splice(at, 0, document);
  }

  delete(document: Document) {
    const key = this.keyOf(document);
    const at = this.#from(key);
    if (this.#keys[at] !== key) throw new Error(`Index ${this.name} has lost a document.`);
    this.#keys.splice(at, 1);
    this.#documents.splice(at, 1);
  }

  /** The first document at or after `start` and before `end`, or the last one with `descending`. */
  first(
    start: string,
    end: string,
    descending: boolean,
  ): { key: string; document: Document } | null {
    const at = descending ? this.#from(end) - 1 : this.#from(start);
    const key = this.#keys[at];
    const document = this.#documents[at];
    if (key === undefined || document === undefined || (descending ? key < start : key >= end))
      return null;
    return { key, document };
  }

  /** The position of the first key that is not below `key`. */
  #from(key: string) {
    let low = 0;
    let high = this.#keys.length;
    // Documents are mostly added at the end: `_creationTime` grows.
    const last = this.#keys[high - 1];
    if (last !== undefined && last < key) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
