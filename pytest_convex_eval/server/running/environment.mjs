/**
 * The variables that a component's functions see: its bindings, and the two that all see.
 * @import { Push } from "../protocol.d.ts"
 * @import { Services } from "./services.mjs"
 */

import { APP } from "../push/definitions.mjs";
import { definitionOf } from "./targets.mjs";

/**
 * @param {Services} services @param {Push} push @param {string} component
 * @returns {Record<string, string>}
 */
export function environmentOf(services, push, component) {
  const { cloud, site } = services.urls;
  const builtins = { CONVEX_CLOUD_URL: cloud, CONVEX_SITE_URL: site };
  if (component === APP) return { ...builtins, ...services.variables() };
  const at = component.lastIndexOf("/");
  const parent = at < 0 ? APP : component.slice(0, at);
  const outer = environmentOf(services, push, parent);
  const child = definitionOf(push, parent)?.definition.definition.childComponents.find(
    ({ name }) => name === component.slice(at + 1),
  );
  /** @type {Record<string, string>} */
  const bound = {};
  for (const [name, binding] of child?.env ?? []) {
    const value = binding.type === "envVar" ? outer[binding.name] : binding.value;
    if (value !== undefined) bound[name] = value;
  }
  return { ...builtins, ...bound };
}
