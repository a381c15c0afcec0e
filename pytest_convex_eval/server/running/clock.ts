/** The deployment's time: real, until it is moved forward; it never goes back. */

export class Clock {
  /** Milliseconds ahead of real time. */
  offset = 0;
  #still: number | null = null;

  /** Milliseconds since 1970. */
  now() {
    return this.#still ?? Date.now() + this.offset;
  }

  get isStill() {
    return this.#still !== null;
  }

  /** Stands still at a time, from which `release` goes on. */
  holdAt(time: number) {
    this.#still = Math.max(time, this.now());
    this.offset = this.#still - Date.now();
  }

  release() {
    if (this.#still !== null) this.offset = this.#still - Date.now();
    this.#still = null;
  }

  /**
   * Real time again, or a time to start from.
   * @param time milliseconds since 1970
   */
  reset(time: number | null = null) {
    this.#still = null;
    this.offset = time === null ? 0 : time - Date.now();
  }
}
