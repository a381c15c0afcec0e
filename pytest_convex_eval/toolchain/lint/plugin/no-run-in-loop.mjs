/** A transaction for each turn of a loop. */

import { loopAround } from "./shared/loops.mjs";
import { runs } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";

const PAGES = /^(?:cursor|continueCursor|done|hasMore|isDone|nextCursor|page)$/;

export default rule({
  name: "no-run-in-loop",
  description: "Disallow ctx.runQuery and ctx.runMutation in the loops of an action.",
  message:
    "{{via}} in a loop is a transaction for each turn. Pass the whole list to one internal " +
    "function.",
  check(file, report) {
    const all = new Set(runs(file).map(({ call }) => call));
    for (const { via, call, kinds, reference } of runs(file)) {
      if (!/^run(?:Query|Mutation)$/.test(via) || !kinds.includes("action")) continue;
      // A component's functions, and what is passed, can't be merged here.
      if (reference === null || reference.root === "components") continue;
      const loop = loopAround(call);
      if (loop === null || loop.callback) continue;
      // Pages are read one after the other.
      if (file.inside(loop.node, "Identifier").some((n) => PAGES.test(n.name))) continue;
      // Work outside of the database between the turns: each result is kept as it comes.
      const waits = file.inside(loop.node.body, "AwaitExpression");
      if (waits.some(({ argument }) => !all.has(argument))) continue;
      report(call, { via });
    }
  },
});
