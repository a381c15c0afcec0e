/** What an action has begun and not waited for (https://docs.convex.dev/functions/actions#dangling-promises). */

import type { Call } from "./call.ts";

/** @returns the warning; null where nothing is under way */
export function unawaited(call: Call): string | null {
  const names: string[] = [];
  call.pending.forEach(({ op }) => {
    if (op.startsWith("http/")) return; // Of the answer itself.
    // `1.0/actions/query` is a query.
    names.push(op.slice(op.lastIndexOf("/") + 1));
  });
  if (names.length === 0) return null;
  const distinct = [...new Set(names)].sort();
  return (
    `${names.length} unawaited operation${names.length > 1 ? "s" : ""}: [${distinct.join(", ")}]. ` +
    "Async operations should be awaited or they might not run. " +
    "See https://docs.convex.dev/functions/actions#dangling-promises for more information."
  );
}
