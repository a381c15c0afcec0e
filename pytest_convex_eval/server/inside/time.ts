/** `Date` and `performance` of pushed code, by a clock that is ours. */

const RealDate = Date;
const { now: realNow } = Date;

export { realNow };

/** @param now milliseconds since 1970; may throw what the code that asks then gets */
export function makeDate(now: () => number): DateConstructor {
  RealDate.now = now;
  const OwnDate = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
  });
  Object.defineProperty(RealDate.prototype, "constructor", { value: OwnDate });
  return OwnDate;
}

/**
 * The classes of User Timing (https://w3c.github.io/user-timing/), as far as they make sense without a page: entries
 * are kept for as long as a call takes.
 * @param clock `now`: milliseconds since `origin`, which is in milliseconds since 1970; `entries`: those of the call
 */
export function makePerformance(clock: {
  now: () => number;
  origin: () => number;
  entries: () => object[];
}) {
  const key = Symbol();
  class PerformanceEntry {
    readonly name: string;
    readonly entryType: string;
    readonly startTime: number;
    readonly duration: number;
    constructor(guard: unknown, name: string, type: string, [start, end]: [number, number]) {
      if (guard !== key) throw new TypeError("Illegal constructor");
      this.name = name;
      this.entryType = type;
      this.startTime = start;
      this.duration = end - start;
    }
    toJSON() {
      return { ...this };
    }
  }
  class PerformanceMark extends PerformanceEntry {
    readonly detail: unknown;
    constructor(name: string, { startTime = clock.now(), detail = null }: MarkOptions = {}) {
      super(key, String(name), "mark", [startTime, startTime]);
      this.detail = detail;
    }
  }
  class PerformanceMeasure extends PerformanceEntry {
    readonly detail: unknown;
    constructor(guard: unknown, name: string, times: [number, number], detail: unknown = null) {
      super(guard, name, "measure", times);
      this.detail = detail;
    }
  }
  const entries = () => clock.entries() as PerformanceEntry[];
  const remove = (type: string, name: string | undefined) => {
    const kept = entries().filter(
      (each) => each.entryType !== type || (name !== undefined && each.name !== name),
    );
    entries().splice(0, entries().length, ...kept);
  };
  const timeOf = (mark: string | number) => {
    if (typeof mark === "number") return mark;
    const found = entries().findLast((each) => each.entryType === "mark" && each.name === mark);
    if (found === undefined)
      throw new DOMException(`The "${mark}" performance mark has not been set`, "SyntaxError");
    return found.startTime;
  };
  class Performance extends EventTarget {
    constructor(guard: unknown) {
      if (guard !== key) throw new TypeError("Illegal constructor");
      super();
    }
    get timeOrigin() {
      return clock.origin();
    }
    now() {
      return clock.now();
    }
    mark(name: string, options?: MarkOptions) {
      const made = new PerformanceMark(name, options);
      entries().push(made);
      return made;
    }
    measure(name: string, start?: string | MeasureOptions, end?: string) {
      const options = typeof start === "object" && start !== null ? start : { start, end };
      const from = options.start === undefined ? 0 : timeOf(options.start);
      const until = options.end === undefined ? clock.now() : timeOf(options.end);
      const detail = "detail" in options ? options.detail : null;
      const made = new PerformanceMeasure(key, String(name), [from, until], detail);
      entries().push(made);
      return made;
    }
    getEntries() {
      return entries().toSorted((a, b) => a.startTime - b.startTime);
    }
    getEntriesByType(type: string) {
      return this.getEntries().filter((each) => each.entryType === type);
    }
    getEntriesByName(name: string, type?: string) {
      const ofType = (each: PerformanceEntry) => type === undefined || each.entryType === type;
      return this.getEntries().filter((each) => each.name === name && ofType(each));
    }
    clearMarks(name?: string) {
      remove("mark", name);
    }
    clearMeasures(name?: string) {
      remove("measure", name);
    }
    toJSON() {
      return { timeOrigin: this.timeOrigin };
    }
  }
  const performance = new Performance(key);
  return { performance, Performance, PerformanceEntry, PerformanceMark, PerformanceMeasure };
}

type MarkOptions = { startTime?: number; detail?: unknown };
type MeasureOptions = {
  start?: string | number | undefined;
  end?: string | number | undefined;
  detail?: unknown;
};
