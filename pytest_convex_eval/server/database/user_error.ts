import type { Json } from "../protocol.ts";

/** The fault of the function that runs: it is thrown inside of it, where it can be caught. */
export class UserError extends Error {
  data: Json | undefined;
  /** @param data a ConvexError's, in Convex's JSON form */
  constructor(message: string, data?: Json) {
    super(message);
    this.data = data;
  }
}
