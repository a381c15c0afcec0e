/** Timers of the default runtime: numbers, as on the web, and for actions alone. */

import { ownMap } from "./captured.ts";
import { bound, currentCall } from "./current.ts";
import { refusal } from "./surroundings.ts";
import type { Call } from "./call.ts";

const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;

/** @param thrown has a call fail that a timer's function threw in */
export function makeTimers(thrown: (call: Call, error: unknown) => void) {
  // Pushed code gets no object of Node's: those are linked to each other, and to ours.
  let last = 0;
  const timers: Map<number, { timer: NodeJS.Timeout; call: Call }> = ownMap();
  const clear = (id: unknown) => {
    const found = timers.get(Number(id));
    if (found === undefined) return;
    timers.delete(Number(id));
    found.call.underWay -= 1;
    clearTimeout(found.timer);
    clearInterval(found.timer);
  };
  const begin =
    (name: "setTimeout" | "setInterval", real: typeof setTimeout | typeof setInterval) =>
    (work: unknown, delay?: number, ...given: unknown[]) => {
      const call = currentCall();
      const id = ++last;
      if (!call.isAction) {
        // The timer fails, and not who set it: nobody can catch this.
        void Promise.reject(refusal(name));
        return id;
      }
      if (typeof work !== "function")
        throw new TypeError(`The function of ${name} must be a function`);
      const due = bound(() => {
        if (name === "setTimeout") clear(id);
        try {
          work(...given);
        } catch (error) {
          thrown(call, error);
        }
      });
      call.underWay += 1;
      const timer = real(() => {
        if (call.ended) clear(id);
        else due();
      }, delay) as NodeJS.Timeout;
      timers.set(id, { timer, call });
      return id;
    };
  return {
    setTimeout: begin("setTimeout", setTimeout),
    setInterval: begin("setInterval", setInterval),
    clearTimeout: clear,
    clearInterval: clear,
  };
}
