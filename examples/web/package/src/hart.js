// The door of the package.

import { archiveAt } from "./archive.js";
import { available } from "./backend.js";
import { compiled } from "./code.js";
import { HartError } from "./errors.js";
import { absolute } from "./files.js";
import { Workshop } from "./workshop.js";

/** A model in a worker: the calling thread never waits. */
export class Hart {
  #workshop;
  /** For what a GPU does not do: a second worker, opened when it is first needed. */
  #onCpu = null;

  constructor(workshop, known) {
    this.#workshop = workshop;
    Object.assign(this, known);
  }

  static async load(url, onProgress = () => {}, options = {}) {
    // Where one part fails, the other need not come.
    const stop = new AbortController();
    const end = () => stop.abort(options.signal.reason);
    options.signal?.addEventListener("abort", end, { once: true });
    if (options.signal?.aborted) end();
    const { signal } = stop;
    const report = (stage) => (loaded, total) => signal.aborted || onProgress({ stage, loaded, total });
    try {
      const backend = await available(options.backend);
      const [module, { name, bytes }] = await Promise.all([
        compiled(backend, report("code"), signal),
        archiveAt(await absolute(url), report("model"), { ...options, signal }),
      ]);
      report("opening")(bytes.length, bytes.length);
      const hart = await Hart.#open(backend, module, bytes, options.name ?? name, signal);
      report("ready")(bytes.length, bytes.length);
      return hart;
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", end);
    }
  }

  static async fromBytes(archive, { name = "model", backend, signal } = {}) {
    const chosen = await available(backend);
    const module = await compiled(chosen, undefined, signal);
    return Hart.#open(chosen, module, new Uint8Array(archive), name, signal);
  }

  /** On a GPU that fails the CPU takes over. */
  static async #open(backend, module, archive, name, signal) {
    try {
      const { workshop, known } = await opened({ backend, module, archive, name }, signal);
      return new Hart(workshop, { ...known, name, backend });
    } catch (error) {
      if (backend === "cpu" || signal?.aborted || error.name === "BadModel") throw error;
      return Hart.#open("cpu", await compiled("cpu", undefined, signal), archive, name, signal);
    }
  }

  /** The worker that edits. */
  #editor() {
    if (this.backend === "cpu") return this.#workshop;
    this.#onCpu ??= this.#openOnCpu().catch((error) => {
      // The network may be back when it is needed again.
      this.#onCpu = null;
      throw error;
    });
    return this.#onCpu;
  }

  async #openOnCpu() {
    const module = await compiled("cpu");
    const { workshop } = await opened({ ...this.#workshop.tools, backend: "cpu", module });
    return workshop;
  }

  generate(prompt, settings = {}) {
    return this.#make(this.#workshop, { kind: "generate" }, { prompt, ...settings });
  }

  async inpaint(image, mask, settings = {}) {
    const given = pixels("the image", image);
    const marks = pixels("the mask", mask);
    if (marks.width !== given.width || marks.height !== given.height) {
      const found = `${marks.width} × ${marks.height}, expected ${given.width} × ${given.height}`;
      throw new HartError("InvalidInput", `the size of the mask is ${found}, as the image has`);
    }
    return this.#make(await this.#editor(), { kind: "inpaint", image: given, mask: marks }, settings);
  }

  async vary(image, settings = {}) {
    const given = pixels("the image", image);
    return this.#make(await this.#editor(), { kind: "vary", image: given }, settings);
  }

  unknownWords(prompt) {
    return this.#workshop.do({ kind: "unknown", prompt: String(prompt) });
  }

  close() {
    this.#workshop.close();
    this.#onCpu?.then((workshop) => workshop.close(), () => {});
  }

  /** Some work and its settings; what of them is not for the module stays here. */
  async #make(workshop, work, { signal, onScale, ...settings }) {
    const { seed = 0, ...others } = settings;
    const message = {
      ...work,
      settings: JSON.stringify({ ...others, seed: String(seed) }),
      previews: Boolean(onScale),
    };
    const made = await workshop.do(message, { signal, onEvent: onScale && telling(onScale) });
    const { settings: all, words, cut, ...picture } = made;
    const known = { prompt: all.prompt, seed: BigInt(seed), settings: all };
    return { ...picture, ...known, unknownWords: words, cut };
  }
}

/** A worker with an opened model, and what is known of the model. */
async function opened(tools, signal) {
  const workshop = new Workshop(tools);
  const end = () => workshop.close();
  signal?.addEventListener("abort", end, { once: true });
  try {
    signal?.throwIfAborted();
    return { workshop, known: await workshop.open() };
  } catch (error) {
    workshop.close();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", end);
  }
}

/** Events of scales as `onScale` is given them. */
function telling(onScale) {
  return ({ scale, scales, rows, columns, width, height, data }) => {
    const preview = data ? { width, height, data } : null;
    onScale({ scale, scales, rows, columns, preview });
  };
}

/** Pixels as a worker can be given them. */
function pixels(what, { width, height, data } = {}) {
  const bytes = width * height * 4;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray) || data.length !== bytes) {
    const message = `${what} is not an ImageData: expected width, height and four bytes a pixel`;
    throw new HartError("InvalidInput", message);
  }
  return { width, height, data: new Uint8Array(data) };
}
