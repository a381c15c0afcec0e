/**
 * A schema, crons or auth configuration in a file that Convex does not look for. What a component
 * would have of its own, and crons that nothing loads, are decided over all files (`decide.py`).
 */

import { outer, propertyValue } from "./shared/ast.mjs";
import { hasDefaultExport } from "./shared/functions.mjs";
import { cronTables } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";
import { follow, isImport } from "./shared/scope.mjs";

/** @type {Record<string, string>} */
const PLACES = { cronJobs: "crons", defineSchema: "schema" };

export default rule({
  name: "file-names",
  description: "Require the schema, crons and auth configuration where Convex looks for them.",
  message: {
    place:
      "This default export looks like {{what}}, which Convex looks for in convex/{{place}}.ts only.",
    noDefault:
      "convex/crons.ts has no default export, so that none of its crons runs. " +
      "Export them as the default.",
  },
  check(file, report) {
    const [crons] = cronTables(file);
    if (file.module === "crons" && crons !== undefined && !hasDefaultExport(file)) {
      report(crons, {}, "noDefault");
    }
    for (const { declaration } of file.nodes("ExportDefaultDeclaration")) {
      const value = follow(file, declaration);
      // Convex takes no module with a dot in its name for anything but its own configurations.
      if (file.module.includes(".") && value.type === "CallExpression") continue;
      const folder = file.module.slice(0, file.module.lastIndexOf("/") + 1);
      if (value.type === "CallExpression") {
        for (const [name, place] of Object.entries(PLACES)) {
          if (!isImport(file, value.callee, "convex/server", name)) continue;
          // A component has its own; whether it is one, only all files say (`decide.py`).
          if (file.module === place || file.module === `${folder}${place}`) continue;
          report(outer(declaration), { what: `the ${place}`, place });
        }
      } else if (value.type === "ObjectExpression" && propertyValue(value, "providers") !== null) {
        const looks = /(?:^|[/._-])auth/i.test(file.module);
        if (looks && file.module !== "auth.config") {
          report(outer(declaration), { what: "the auth configuration", place: "auth.config" });
        }
      }
    }
  },
});
