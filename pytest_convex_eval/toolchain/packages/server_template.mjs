/**
 * Writes the generated `server.d.ts` and `server.js` of a `convex` package into a folder, as its CLI
 * leaves them after a push of a project that declares no environment variables: `env` then has the
 * platform's variables alone. What the CLI writes without a deployment lets any name pass.
 *
 * Usage: node server_template.mjs <folder of the package convex> <folder>
 */
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [convex, folder] = process.argv.slice(2);
if (convex === undefined || folder === undefined) {
  throw new Error("two folders are needed");
}

/** @type {{ serverCodegen: (options: { useTypeScript: false, envVars: [] }) => Record<"DTS" | "JS", string> }} */
const { serverCodegen } = await import(
  pathToFileURL(path.join(convex, "dist/esm/cli/codegen_templates/server.js")).href
);
/** @type {{ format: (text: string, options: { parser: string }) => Promise<string> }} */
const prettier = createRequire(path.join(convex, "package.json"))("prettier");

const texts = serverCodegen({ useTypeScript: false, envVars: [] });
for (const [name, text] of [
  ["server.d.ts", texts.DTS],
  ["server.js", texts.JS],
]) {
  // The CLI formats both as TypeScript.
  await writeFile(path.join(folder, name), await prettier.format(text, { parser: "typescript" }));
}
