/** @import { Json } from "../protocol.d.ts" */

/** The fault of the function that runs: it is thrown inside of it, where it can be caught. */
export class UserError extends Error {
  /**
   * @param {string} message
   * @param {Json} [data] a ConvexError's, in Convex's JSON form
   */
  constructor(message, data) {
    super(message);
    this.data = data;
  }
}
