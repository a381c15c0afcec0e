/** Modules that have no source: their exports are there already. */

import vm from "node:vm";

/** @param values what it exports, by name */
export function synthetic(identifier: string, values: object) {
  const entries = Object.entries(values);
  return new vm.SyntheticModule(
    entries.map(([name]) => name),
    function () {
      for (const [name, value] of entries) this.setExport(name, value);
    },
    { identifier },
  );
}
