// The door of the package.

import { archiveAt } from "./archive.js";
import { compiled } from "./code.js";
import { HartError } from "./errors.js";
import { absolute } from "./files.js";
import { Workshop } from "./workshop.js";

/** A model in a worker: the calling thread never waits. */
export class Hart {
  #workshop;

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
      const [module, { name, bytes }] = await Promise.all([
        compiled(report("code"), signal),
        archiveAt(await absolute(url), report("model"), { ...options, signal }),
      ]);
      report("opening")(bytes.length, bytes.length);
      const hart = await Hart.#open(module, bytes, options.name ?? name, signal);
      report("ready")(bytes.length, bytes.length);
      return hart;
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", end);
    }
  }

  static async fromBytes(archive, { name = "model", signal } = {}) {
    const module = await compiled(undefined, signal);
    return Hart.#open(module, new Uint8Array(archive), name, signal);
  }

  static async #open(module, archive, name, signal) {
    const workshop = new Workshop({ module, archive, name });
    const end = () => workshop.close();
    signal?.addEventListener("abort", end, { once: true });
    try {
      signal?.throwIfAborted();
      return new Hart(workshop, { ...(await workshop.open()), name });
    } catch (error) {
      workshop.close();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", end);
    }
  }

  generate(prompt, settings = {}) {
    return this.#make({ kind: "generate" }, { prompt, ...settings });
  }

  async inpaint(image, mask, settings = {}) {
    const given = pixels("the image", image);
    const marks = pixels("the mask", mask);
    if (marks.width !== given.width || marks.height !== given.height) {
      const found = `${marks.width} × ${marks.height}, expected ${given.width} × ${given.height}`;
      throw new HartError("InvalidInput", `the size of the mask is ${found}, as the image has`);
    }
    return this.#make({ kind: "inpaint", image: given, mask: marks }, settings);
  }

  async vary(image, settings = {}) {
    const given = pixels("the image", image);
    return this.#make({ kind: "vary", image: given }, settings);
  }

  unknownWords(prompt) {
    return this.#workshop.do({ kind: "unknown", prompt: String(prompt) });
  }

  close() {
    this.#workshop.close();
  }

  /** Some work and its settings; what of them is not for the module stays here. */
  async #make(work, { signal, onScale, ...settings }) {
    const { seed = 0, ...others } = settings;
    const message = {
      ...work,
      settings: JSON.stringify({ ...others, seed: String(seed) }),
      previews: Boolean(onScale),
    };
    const made = await this.#workshop.do(message, { signal, onEvent: onScale && telling(onScale) });
    const { settings: all, words, cut, ...picture } = made;
    const known = { prompt: all.prompt, seed: BigInt(seed), settings: all };
    return { ...picture, ...known, unknownWords: words, cut };
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
