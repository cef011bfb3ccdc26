// A worker with an opened model, replaced by a fresh one when its work is cancelled: the module computes a
// picture in one go and cannot be interrupted, but it can be dropped at once.

import { HartError, aborted } from "./errors.js";
import { startThread } from "./thread.js";

export class Workshop {
  /** What every worker is given: the compiled module, the archive and the model's name. */
  tools;
  #thread = null;
  #waiting = [];
  #current = null;
  #ids = 0;
  #closed = false;

  constructor(tools) {
    this.tools = tools;
  }

  /** Opens the model. Gives what is known of it. */
  open() {
    return this.#start();
  }

  /** Has some work done after what is there already. `onEvent` is given its events. */
  async do(message, { signal, onEvent } = {}) {
    if (signal?.aborted) throw aborted(signal);
    if (this.#closed) throw new HartError("InvalidInput", "the model was closed: load it again");
    return new Promise((resolve, reject) => {
      const job = { message, onEvent, signal, resolve, reject };
      job.cancel = () => this.#cancel(job);
      signal?.addEventListener("abort", job.cancel, { once: true });
      this.#waiting.push(job);
      if (this.#thread || this.#current) this.#next();
      else this.#restart();
    });
  }

  /** Ends the worker, and fails what is not finished. */
  close() {
    this.#closed = true;
    this.#stop();
    const reason = new DOMException("the model was closed", "AbortError");
    for (const job of [this.#current, ...this.#waiting]) job && this.#settle(job, "reject", reason);
    this.#waiting = [];
    this.#current = null;
  }

  /** Starts a worker and opens the model in it. */
  async #start() {
    const job = { message: { kind: "open", ...this.tools } };
    const opened = new Promise((resolve, reject) => Object.assign(job, { resolve, reject }));
    // Its place is taken before the thread is there: work that comes meanwhile waits.
    this.#current = job;
    const thread = await startThread(
      (message) => this.#thread === thread && this.#receive(message),
      (reason) => this.#thread === thread && this.#died(reason),
    );
    if (this.#closed) thread.end();
    else {
      this.#thread = thread;
      this.#send(job);
    }
    return opened;
  }

  #stop() {
    this.#thread?.end();
    this.#thread = null;
  }

  /** A fresh worker in the place of one that was dropped. */
  #restart() {
    this.#stop();
    if (!this.#closed) this.#start().catch((error) => this.#failAll(error));
  }

  #next() {
    if (this.#current || !this.#thread || !this.#waiting.length) return;
    this.#current = this.#waiting.shift();
    this.#send(this.#current);
  }

  #send(job) {
    job.id = ++this.#ids;
    this.#thread.hold?.();
    this.#thread.post({ ...job.message, id: job.id });
  }

  #receive({ id, event, result, failure, broken }) {
    const job = this.#current;
    if (job?.id !== id) return;
    if (event) return this.#tell(job, event);
    this.#current = null;
    this.#thread.release?.();
    if (failure) this.#settle(job, "reject", new HartError(failure.name, failure.message));
    else this.#settle(job, "resolve", result);
    if (failure && job.message.kind === "open") this.#stop();
    else if (broken) this.#restart();
    else this.#next();
  }

  /** An error of whoever is told ends the work, as it would without a worker. */
  #tell(job, event) {
    try {
      job.onEvent?.(event);
    } catch (error) {
      this.#cancel(job, error);
    }
  }

  #cancel(job, reason = aborted(job.signal)) {
    this.#settle(job, "reject", reason);
    if (job !== this.#current) {
      this.#waiting = this.#waiting.filter((other) => other !== job);
      return;
    }
    this.#current = null;
    this.#restart();
  }

  #died(reason) {
    const error = new HartError("Failed", `the worker ended: ${reason}`);
    const job = this.#current;
    this.#current = null;
    if (job) this.#settle(job, "reject", error);
    this.#stop();
    if (job?.message.kind !== "open") this.#restart();
  }

  #failAll(error) {
    const jobs = this.#waiting;
    this.#waiting = [];
    for (const job of jobs) this.#settle(job, "reject", error);
  }

  #settle(job, how, value) {
    job.signal?.removeEventListener("abort", job.cancel);
    job[how](value);
  }
}
