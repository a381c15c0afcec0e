/** Function handles: what `createFunctionHandle` gives, and `v.function()` allows. */

const HANDLE = /^function:\/\/((?:\w+(?:\/\w+)*)?);([\w./]+(?::\w+)?)$/;

export type Handled = { component: string; path: string };

export function functionHandle({ component, path }: Handled) {
  return `function://${component};${path}`;
}

/** What a handle stands for, whether it is there or not; null for what is none. */
export function parseFunctionHandle(text: string): Handled | null {
  const [, component, path] = HANDLE.exec(text) ?? [];
  return component === undefined || path === undefined ? null : { component, path };
}
