/** The variables that a component's functions see: its bindings, and the two that all see. */

import { APP } from "../push/definitions.ts";
import { definitionOf } from "./targets.ts";
import type { Push } from "../protocol.ts";
import type { Services } from "./services.ts";

/** What every function sees, and nobody sets. */
export const BUILT_IN_VARIABLES: ReadonlySet<string> = new Set([
  "CONVEX_CLOUD_URL",
  "CONVEX_SITE_URL",
]);

export function environmentOf(
  services: Services,
  push: Push,
  component: string,
): Record<string, string> {
  const { cloud, site } = services.urls;
  const builtins = { CONVEX_CLOUD_URL: cloud, CONVEX_SITE_URL: site };
  if (component === APP) return { ...builtins, ...services.variables() };
  const at = component.lastIndexOf("/");
  const parent = at < 0 ? APP : component.slice(0, at);
  const outer = environmentOf(services, push, parent);
  const child = definitionOf(push, parent)?.definition.definition.childComponents.find(
    ({ name }) => name === component.slice(at + 1),
  );
  const bound: Record<string, string> = {};
  for (const [name, binding] of child?.env ?? []) {
    const value = binding.type === "envVar" ? outer[binding.name] : binding.value;
    if (value !== undefined) bound[name] = value;
  }
  return { ...builtins, ...bound };
}
