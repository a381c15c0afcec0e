/**
 * How facts tell of places, and of how much.
 *
 * @typedef {import("./ast.mjs").Node} Node
 */

/** A list that would grow without measure is cut: what is not told is not judged. */
export const MOST = 1000;

/** @param {Node} node @returns {[number, number]} */
export const place = ({ loc }) => [loc.start.line, loc.start.column];
