/** `import.meta` of "use node" modules: files, as Node's loader says it. */

import { filenameOf } from "./require.ts";

export function importMeta(path: string) {
  const filename = filenameOf(path);
  const dirname = filename.replace(/\/[^/]*$/, "");
  return { dirname, filename, url: new URL(filename, "file://").href };
}
