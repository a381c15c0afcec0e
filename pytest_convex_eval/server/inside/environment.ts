/** `process.env` of pushed code. */

export interface Variables {
  /** May throw what the code that asks then gets. */
  get: (name: string) => string | undefined;
  names: () => string[];
}

/**
 * One object for a whole realm, as bundles keep a reference to it.
 * @param options `areListed`: in the default runtime variables are read one by one, and none is found by looking for all
 */
export function environment(variables: () => Variables, { areListed }: { areListed: boolean }) {
  const has = (name: string | symbol) =>
    typeof name === "string" && variables().names().includes(name);
  return new Proxy(
    {},
    {
      get: (_, name) => (typeof name === "string" ? variables().get(name) : undefined),
      has: (_, name) => has(name),
      ownKeys: () => (areListed ? variables().names() : []),
      getOwnPropertyDescriptor: (_, name) =>
        has(name)
          ? { value: variables().get(name as string), enumerable: true, configurable: true }
          : undefined,
      set: () => true,
      deleteProperty: () => true,
    },
  );
}

/** Those that are there, all of them. */
export function given(env: Record<string, string>): Variables {
  return {
    get: (name) => (Object.hasOwn(env, name) ? env[name] : undefined),
    names: () => Object.keys(env),
  };
}
