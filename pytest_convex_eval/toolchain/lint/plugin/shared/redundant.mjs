/**
 * Indexes of one table that another one covers.
 *
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./tables.mjs").Index} Index
 * @typedef {{ index: Index, by: Index, equal: boolean }} Covered
 */

import { tables } from "./tables.mjs";

/** @param {SourceFile} file @returns {Covered[]} */
function findCovered(file) {
  /** @type {Map<unknown, Covered>} */
  const covered = new Map();
  for (const { indexes } of tables(file)) {
    const plain = indexes.filter((i) => i.kind === "index" && !i.staged && i.fields !== null);
    for (const [at, index] of plain.entries()) {
      const fields = /** @type {string[]} */ (index.fields);
      const by = plain.find((other, otherAt) => {
        const longer = /** @type {string[]} */ (other.fields);
        const starts = otherAt !== at && fields.every((field, i) => longer[i] === field);
        return starts && (longer.length > fields.length || otherAt < at);
      });
      if (by === undefined || covered.has(index.call)) continue;
      covered.set(index.call, { index, by, equal: by.fields?.length === fields.length });
    }
  }
  return [...covered.values()];
}

/** @param {SourceFile} file */
export const coveredIndexes = (file) => file.derived(findCovered);
