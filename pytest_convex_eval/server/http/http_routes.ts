/** Which router an HTTP request is for: the app's, or that of a component that is mounted at a prefix of its path. */

import { APP } from "../push/definitions.ts";
import { definitionOf } from "../running/targets.ts";
import type { EvaluatedDefinition, Push } from "../protocol.ts";

/** A component, and the path that its router knows the request by. */
export type Routed = { component: string; path: string };

/**
 * An exact route comes first, then what has the longest prefix: a route or a component.
 * @returns null: no router is there; whether it has a route it knows itself
 */
export function findRouter(push: Push | null, path: string, method: string): Routed | null {
  let component = APP;
  let rest = path;
  for (;;) {
    const definition = definitionOf(push, component)?.definition;
    const mounts = definition?.definition.httpMounts ?? {};
    const mount = longest(Object.keys(mounts).filter((prefix) => rest.startsWith(prefix)));
    const own = ownRoute(definition, rest, method);
    if (mount === undefined || (own !== null && own.length > mount.length)) {
      return own === null ? null : { component, path: own.path };
    }
    const child = mounts[mount]?.split("/").at(-1) ?? "";
    component = component === APP ? child : `${component}/${child}`;
    rest = `/${rest.slice(mount.length)}`;
  }
}

/** Whether any request could be for a router. */
export function hasRouters(push: Push | null) {
  const app = definitionOf(push, APP)?.definition;
  return (
    Boolean(app?.functions.get("http.js")?.httpRoutes) ||
    Object.keys(app?.definition.httpMounts ?? {}).length > 0
  );
}

/**
 * The path for a definition's own router, and how much of the whole path its best route stands for: all of it and
 * more than any prefix could, that of a prefix, or less than nothing.
 * @returns null: it has no router there
 */
function ownRoute(
  definition: EvaluatedDefinition | undefined,
  path: string,
  method: string,
): { path: string; length: number } | null {
  const routes = definition?.functions.get("http.js")?.httpRoutes;
  // An app can have all of its own routes below a prefix.
  const base = (definition?.definition.httpPrefix ?? "/").replace(/\/$/, "");
  if (!routes || !path.startsWith(`${base}/`)) return null;
  const own = path.slice(base.length);
  const candidates = routes.filter((each) => each.method === method).map((each) => each.path);
  if (candidates.includes(own)) return { path: own, length: Infinity };
  const prefixes = candidates.filter((each) => each.endsWith("*")).map((each) => each.slice(0, -1));
  const prefix = longest(prefixes.filter((each) => own.startsWith(each)));
  return { path: own, length: prefix === undefined ? -1 : base.length + prefix.length };
}

function longest(texts: string[]) {
  return texts.sort((a, b) => b.length - a.length)[0];
}
