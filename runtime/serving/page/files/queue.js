// A few things at a time, the rest in order, and all of it can be stopped.

/** Runs `work(task, signal)` for each task that is added, `limit` at a time. `onIdle` is called when nothing is left. */
export class Queue {
  #limit;
  #work;
  #onIdle;
  #waiting = [];
  #running = 0;
  #stop = new AbortController();

  constructor(limit, work, onIdle = () => {}) {
    this.#limit = limit;
    this.#work = work;
    this.#onIdle = onIdle;
  }

  get isIdle() {
    return this.#running === 0 && this.#waiting.length === 0;
  }

  add(tasks) {
    this.#waiting.push(...tasks);
    while (this.#running < this.#limit && this.#waiting.length) this.#start(this.#waiting.shift());
  }

  /** Leaves out the waiting tasks for which `isUnwanted(task)`; those that run go on. */
  drop(isUnwanted) {
    this.#waiting = this.#waiting.filter((task) => !isUnwanted(task));
  }

  /** Ends what runs and forgets what waits; returns the tasks that waited. */
  stop() {
    const left = this.#waiting.splice(0);
    this.#stop.abort();
    this.#stop = new AbortController();
    return left;
  }

  async #start(task) {
    this.#running += 1;
    try {
      await this.#work(task, this.#stop.signal);
    } finally {
      this.#running -= 1;
      this.add([]);
      if (this.isIdle) this.#onIdle();
    }
  }
}
