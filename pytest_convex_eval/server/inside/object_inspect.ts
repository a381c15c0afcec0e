/**
 * How values print in the default runtime: as npm's `object-inspect` 1.13 prints them with
 * `{indent: 2, customInspect: true, maxStringLength: 32768}` where there is no `util.inspect`.
 */

const DEPTH = 5;
const INDENT = "  ";
const MAX_STRING_CHARACTERS = 32_768;

type Style = { indent: boolean; maxString: number };
const USUAL: Style = { indent: true, maxString: MAX_STRING_CHARACTERS };
/** Of a Map's keys. */
const PLAIN: Style = { indent: false, maxString: Number.POSITIVE_INFINITY };

const { hasOwn, getPrototypeOf } = Object;
const { toString: tagText, propertyIsEnumerable: isEnumerable } = Object.prototype;

export function objectInspect(value: unknown): string {
  return print(value, { style: USUAL, depth: 0, above: [] });
}

type Place = { style: Style; depth: number; above: object[] };

function print(value: unknown, place: Place): string {
  switch (typeof value) {
    case "string":
      return quoted(value, place.style.maxString);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return String(value);
    case "undefined":
    case "boolean":
      return String(value);
    default:
      return value === null ? "null" : printObject(value as object, place);
  }
}

function printObject(value: any, place: Place): string {
  const { depth, above, style } = place;
  const isFunction = typeof value === "function";
  if (depth >= DEPTH && !isFunction) return isList(value) ? "[Array]" : "[Object]";
  if (above.includes(value)) return "[Circular]";
  const within = (each: unknown, own: Style = style, from: object[] = [value]) =>
    print(each, { style: own, depth: depth + 1, above: [...above, ...from] });
  if (isFunction && !hasTag(value, "RegExp")) return printFunction(value, within);
  if (boxes(Symbol.prototype, value)) return boxed(Symbol.prototype.toString.call(value));
  if (isElement(value)) return printElement(value);
  const indent = style.indent ? INDENT.repeat(depth) : null;
  if (isList(value)) {
    if (value.length === 0) return "[]";
    const parts = members(value, within);
    const onLines = indent !== null && parts.some((part) => part.includes("\n"));
    return onLines ? `[${lines(parts, indent)}]` : `[ ${parts.join(", ")} ]`;
  }
  if (hasTag(value, "Error")) {
    const parts = members(value, within);
    if (!("cause" in Error.prototype) && "cause" in value && !isEnumerable.call(value, "cause"))
      parts.unshift(`[cause]: ${within(value.cause, style, [])}`);
    return parts.length === 0 ? `[${value}]` : `{ [${value}] ${parts.join(", ")} }`;
  }
  if (!isFunction && typeof value.inspect === "function") return value.inspect();
  const collection = printCollection(value, within, indent);
  if (collection !== null) return collection;
  const primitive = printBoxed(value, within);
  if (primitive !== null) return primitive;
  if (value === globalThis) return "{ [object globalThis] }";
  if (hasTag(value, "Date") || hasTag(value, "RegExp")) return String(value);
  const parts = members(value, within);
  const tag = tagOf(value);
  if (parts.length === 0) return `${tag}{}`;
  return indent === null ? `${tag}{ ${parts.join(", ")} }` : `${tag}{${lines(parts, indent)}}`;
}

type Within = (value: unknown, style?: Style, from?: object[]) => string;

function printFunction(value: any, within: Within) {
  const name = value.name || (/^function\s*([\w$]+)/.exec(String(value))?.[1] ?? "");
  const parts = members(value, within);
  const shown = parts.length > 0 ? ` { ${parts.join(", ")} }` : "";
  return `[Function${name ? `: ${name}` : " (anonymous)"}]${shown}`;
}

function isElement(value: any) {
  return typeof value.nodeName === "string" && typeof value.getAttribute === "function";
}

/** What has the shape of an element of a document. */
function printElement(value: any) {
  const name = String(value.nodeName).toLowerCase();
  const attributes: any[] = Array.from(value.attributes ?? []);
  const shown = attributes.map(
    (each) => ` ${each.name}="${String(each.value).replaceAll('"', "&quot;")}"`,
  );
  const inner = value.childNodes?.length ? "..." : "";
  return `<${name}${shown.join("")}>${inner}</${name}>`;
}

function printCollection(value: any, within: Within, indent: string | null) {
  const entries: string[] = [];
  if (boxes(Map.prototype, value)) {
    Map.prototype.forEach.call(value, (each, key) => {
      entries.push(`${within(key, PLAIN)} => ${within(each)}`);
    });
    return collection("Map", value.size, entries, indent);
  }
  if (boxes(Set.prototype, value)) {
    Set.prototype.forEach.call(value, (each) => void entries.push(within(each)));
    return collection("Set", value.size, entries, indent);
  }
  if (boxes(WeakMap.prototype, value)) return "WeakMap { ? }";
  if (boxes(WeakSet.prototype, value)) return "WeakSet { ? }";
  if (boxes(WeakRef.prototype, value)) return "WeakRef { ? }";
  return null;
}

function collection(type: string, size: number, entries: string[], indent: string | null) {
  const joined = indent === null ? entries.join(", ") : lines(entries, indent);
  return `${type} (${size}) {${joined}}`;
}

function printBoxed(value: any, within: Within) {
  if (hasTag(value, "Number")) return boxed(within(Number(value), undefined, []));
  if (boxes(BigInt.prototype, value))
    return boxed(within(BigInt.prototype.valueOf.call(value), undefined, []));
  if (hasTag(value, "Boolean")) return boxed(String(Boolean.prototype.valueOf.call(value)));
  if (hasTag(value, "String")) return boxed(within(String(value), undefined, []));
  return null;
}

function boxed(shown: string) {
  return `Object(${shown})`;
}

/** Whether it is an object of a kind, asked by a method that only those have. */
function boxes(prototype: object, value: any): boolean {
  const ask = ASKED.get(prototype);
  try {
    ask?.(value);
    return ask !== undefined;
  } catch {
    return false;
  }
}
const sizeOf = (prototype: object) =>
  Object.getOwnPropertyDescriptor(prototype, "size")?.get as () => number;
const [mapSize, setSize] = [sizeOf(Map.prototype), sizeOf(Set.prototype)];
const ASKED: Map<object, (value: any) => unknown> = new Map<object, (value: any) => unknown>([
  [Map.prototype, (value) => mapSize.call(value)],
  [Set.prototype, (value) => setSize.call(value)],
  [WeakMap.prototype, (value) => WeakMap.prototype.has.call(value, ASKED)],
  [WeakSet.prototype, (value) => WeakSet.prototype.has.call(value, ASKED)],
  [WeakRef.prototype, (value) => WeakRef.prototype.deref.call(value)],
  [Symbol.prototype, (value) => Symbol.prototype.toString.call(value)],
  [BigInt.prototype, (value) => BigInt.prototype.valueOf.call(value)],
]);

function isList(value: object): value is unknown[] {
  return hasTag(value, "Array");
}

/** By what `Object.prototype.toString` says, where the object can't have said it itself. */
function hasTag(value: any, tag: string) {
  if (tagText.call(value) !== `[object ${tag}]`) return false;
  return !(
    typeof value === "object" &&
    (Symbol.toStringTag in value || typeof value[Symbol.toStringTag] !== "undefined")
  );
}

/** What stands before the braces. */
function tagOf(value: any) {
  const isPlain = getPrototypeOf(value) === Object.prototype;
  const protoTag = value instanceof Object ? "" : "null prototype";
  const ownTag =
    !isPlain && Symbol.toStringTag in value
      ? tagText.call(value).slice(8, -1)
      : protoTag
        ? "Object"
        : "";
  const hasName = !isPlain && typeof value.constructor === "function" && value.constructor.name;
  const name = hasName ? `${value.constructor.name} ` : "";
  const tags = [ownTag, protoTag].filter((each) => each !== "");
  return name + (tags.length > 0 ? `[${tags.join(": ")}] ` : "");
}

/** The elements of a list, then what an object has by names and symbols. */
function members(value: any, within: Within): string[] {
  const parts: string[] = [];
  const length = isList(value) ? value.length : -1;
  for (let i = 0; i < length; i++) parts.push(hasOwn(value, i) ? within(value[i]) : "");
  for (const name in value) {
    if (!hasOwn(value, name)) continue;
    if (length >= 0 && String(Number(name)) === name && Number(name) < length) continue;
    const shown = /[^\w$]/.test(name) ? within(name) : name;
    parts.push(`${shown}: ${within(value[name])}`);
  }
  for (const symbol of Object.getOwnPropertySymbols(value))
    if (isEnumerable.call(value, symbol))
      parts.push(`[${within(symbol, undefined, [])}]: ${within(value[symbol])}`);
  return parts;
}

/** @param indent of the line that the list begins in */
function lines(parts: string[], indent: string) {
  if (parts.length === 0) return "";
  const start = `\n${indent}${INDENT}`;
  return `${start}${parts.join(`,${start}`)}\n${indent}`;
}

const SHORT: Record<string, string> = { "\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r" };

function quoted(string: string, max: number): string {
  if (string.length > max) {
    const rest = string.length - max;
    return `${quoted(string.slice(0, max), max)}... ${rest} more character${rest > 1 ? "s" : ""}`;
  }
  const escaped = string
    .replace(/['\\]/g, "\\$&")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
    .replace(/[\x00-\x1f]/g, (each) => {
      const short = SHORT[each];
      const code = each.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
      return short === undefined ? `\\x${code}` : `\\${short}`;
    });
  return `'${escaped}'`;
}
