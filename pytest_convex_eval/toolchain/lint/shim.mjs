/**
 * What Convex's lint plugin uses of `@typescript-eslint/utils`, for a bundle that loads at once.
 *
 * The real package pulls in a TypeScript parser: 130 ms of every lint process. The plugin needs
 * three things of it, and takes its branch without type information either way under oxlint.
 */

/**
 * @typedef {{ name: string, meta: { docs?: { url?: string }, messages: Record<string, string> },
 *   defaultOptions: readonly unknown[],
 *   create: (context: object, options: readonly unknown[]) => object }} Rule
 * @typedef {{ set: Map<string, object>, upper: Scope | null, childScopes: Scope[],
 *   block: { range: [number, number] } }} Scope
 */

/** The name of a node type is its value. @type {Record<string, string>} */
export const AST_NODE_TYPES = new Proxy({}, { get: (_, name) => name });

export const ASTUtils = {
  /**
   * The variable that a name, or an identifier's node, means in a scope.
   * @param {Scope} scope
   * @param {string | { name: string, range: [number, number] }} named
   */
  findVariable(scope, named) {
    const name = typeof named === "string" ? named : named.name;
    /** @type {Scope | null} */
    let current = typeof named === "string" ? scope : innermost(scope, named.range[0]);
    for (; current !== null; current = current.upper) {
      const variable = current.set.get(name);
      if (variable !== undefined) return variable;
    }
    return null;
  },
};

/** @param {Scope} scope @param {number} offset @returns {Scope} */
function innermost(scope, offset) {
  const holder = scope.childScopes.find(
    ({ block }) => block.range[0] <= offset && offset < block.range[1],
  );
  return holder === undefined ? scope : innermost(holder, offset);
}

export const ESLintUtils = {
  /** @param {(name: string) => string} urlOf */
  RuleCreator(urlOf) {
    /** @param {Rule} rule */
    return ({ name, meta, defaultOptions, create }) => ({
      meta: {
        ...meta,
        docs: { ...meta.docs, url: urlOf(name) },
        messages: Object.fromEntries(
          Object.entries(meta.messages).map(([id, text]) => [id, labelled(id, text)]),
        ),
      },
      /** @param {{ options: readonly unknown[] }} context */
      create: (context) => create(context, withDefaults(context.options, defaultOptions)),
    });
  },
};

/**
 * oxlint's output names no message id, and a rule that says two things of different weight
 * (`no-duplicate-indexes`) can be graded only by it: so the text begins with it. Two kinds of advice
 * are left out, since nobody here can follow them: to switch on type information, which oxlint has
 * not, and to add a suppression comment, which is a finding of its own.
 * @param {string} id
 * @param {string} text
 */
function labelled(id, text) {
  const paragraphs = id.endsWith("-no-type-info") ? text.split("\n\n").slice(0, 1) : [text];
  return `[${id}] ${withoutSuppressionAdvice(paragraphs.join(""))}`;
}

/** @param {string} text */
export function withoutSuppressionAdvice(text) {
  const sentences = text.split(/(?<=[.!?]) /);
  return sentences.filter((said) => !said.includes("eslint-disable")).join(" ");
}

/**
 * @param {readonly unknown[]} given
 * @param {readonly unknown[]} defaults
 */
function withDefaults(given, defaults) {
  return defaults.map((value, index) => {
    const other = given[index];
    if (other === undefined) return value;
    return isObject(value) && isObject(other) ? { ...value, ...other } : other;
  });
}

/** @param {unknown} value @returns {value is object} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
