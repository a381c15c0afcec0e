/**
 * One source file under lint, read once and shared by all rules.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./functions.mjs").Registrar} Registrar
 * @typedef {{ name: string, defs: { type: string, name: Node, node: Node, parent: Node }[],
 *   references: { identifier: Node, init?: boolean, isWrite(): boolean, isRead(): boolean,
 *     isValueReference?: boolean }[] }} Variable
 * @typedef {{ set: Map<string, Variable>, variables: Variable[], upper: Scope | null,
 *   type: string, childScopes: Scope[] }} Scope
 * @typedef {{ ast: Node, visitorKeys: Record<string, string[]>, getScope(node: Node): Scope }}
 *   SourceCode
 * @typedef {{ filename: string, sourceCode: SourceCode, report(what: object): void }} Context
 */

/** @type {WeakMap<Node, SourceFile>} */
const read = new WeakMap();

export class SourceFile {
  /** @type {Map<string, Node[]>} */
  #byType;
  /** @type {Map<Function, unknown>} */
  #derived = new Map();

  /** @param {Context} context @returns {SourceFile} */
  static of(context) {
    const { ast } = context.sourceCode;
    let file = read.get(ast);
    if (file === undefined) {
      file = new SourceFile(context);
      read.set(ast, file);
    }
    return file;
  }

  /**
   * @param {Pick<Context, "filename" | "sourceCode">} context
   * @param {SourceFile} [same] The same file, already read.
   * @param {Registrar} [assumed]
   */
  constructor({ filename, sourceCode }, same, assumed) {
    this.filename = filename;
    this.sourceCode = sourceCode;
    this.ast = sourceCode.ast;
    /** POSIX, relative to the functions' folder. */
    this.path = withinConvex(filename.replaceAll("\\", "/"));
    /** What functions that builders of other files make are taken for; null: they are not known. */
    this.assumed = assumed ?? null;
    this.#byType = same === undefined ? new Map() : same.#byType;
    if (same === undefined) this.#index();
  }

  /**
   * This file as it is where builders of other files make functions of one kind.
   * @param {Registrar} registrar
   */
  assuming(registrar) {
    return new SourceFile(this, this, registrar);
  }

  /** Generated code, declarations and tests hold no functions of the backend. */
  get isSkipped() {
    return /(?:^|\/)_generated\/|\.d\.[cm]?ts$|\.(?:test|spec)\.[cm]?[jt]sx?$/.test(this.path);
  }

  /** The path without its ending: `http`, `models/users`, `auth.config`. */
  get module() {
    return this.path.replace(/\.[cm]?[jt]sx?$/, "");
  }

  /** Whether the functions of this file run in Node: a directive, never words in a comment. */
  get usesNode() {
    return this.ast.body.some((/** @type {Node} */ s) => s.directive === "use node");
  }

  /** All nodes of a type, in source order. @param {...string} types @returns {Node[]} */
  nodes(...types) {
    return types.flatMap((type) => this.#byType.get(type) ?? []);
  }

  /**
   * The nodes of a type within a node, in source order.
   * @param {Node} node
   * @param {string} type
   * @returns {Node[]}
   */
  inside(node, type) {
    const all = this.#byType.get(type) ?? [];
    let [low, high] = [0, all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle].range[0] < node.range[0]) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < all.length && all[end].range[0] < node.range[1]) end += 1;
    return all.slice(low, end);
  }

  /**
   * What `derive` makes of this file; made once.
   * @template T @param {(file: SourceFile) => T} derive @returns {T}
   */
  derived(derive) {
    if (!this.#derived.has(derive)) this.#derived.set(derive, derive(this));
    return /** @type {T} */ (this.#derived.get(derive));
  }

  /** Not recursive: code that is nested without measure must not end the linter. */
  #index() {
    const pending = [this.ast];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      const same = this.#byType.get(node.type);
      if (same === undefined) this.#byType.set(node.type, [node]);
      else same.push(node);
      const keys = this.sourceCode.visitorKeys[node.type] ?? [];
      for (let k = keys.length - 1; k >= 0; k--) {
        const child = node[keys[k]];
        if (Array.isArray(child)) {
          for (let i = child.length - 1; i >= 0; i--) if (child[i]) pending.push(child[i]);
        } else if (child) {
          pending.push(child);
        }
      }
    }
    for (const same of this.#byType.values()) same.sort((a, b) => a.range[0] - b.range[0]);
  }
}

/** @param {string} filename */
function withinConvex(filename) {
  const folder = filename.lastIndexOf("/convex/");
  return folder < 0 ? filename.slice(filename.lastIndexOf("/") + 1) : filename.slice(folder + 8);
}
