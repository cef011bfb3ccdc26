/** Text to image with HART, in a browser or in Node. */

/** Something that was not possible; `name` says whose mistake it is, the message what to do. */
export class HartError extends Error {
  readonly name:
    /** A setting, a picture or a mask is out of its range. */
    | "InvalidInput"
    /** The model is damaged, or is none. */
    | "BadModel"
    /** The model or the code cannot be fetched. */
    | "Unreachable"
    /** The module failed, which is a mistake of ours; a new worker has taken over. */
    | "Failed";
}

/** Pixels with four bytes each, row by row: an `ImageData`, or what looks like one. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray | Uint8Array;
}

/** A word that the model has never seen. */
export interface UnknownWord {
  readonly word: string;
  /** The known word that is nearest by meaning or spelling. */
  readonly nearest: string | null;
}

/** What is being loaded. */
export interface Progress {
  readonly stage: "code" | "model" | "opening" | "ready";
  /** Bytes that are here, of the code or the model. */
  readonly loaded: number;
  /** Bytes in all; 0 when the server does not say. */
  readonly total: number;
}

/** A scale that was finished: from a single token to all of them. */
export interface ScaleDone {
  /** Counted from 0. */
  readonly scale: number;
  readonly scales: number;
  /** The tokens of the scale. */
  readonly rows: number;
  readonly columns: number;
  /** The picture as it would be if it ended here. */
  readonly preview: Pixels | null;
}

export interface LoadOptions {
  /** What pictures call the model: that of its description, else the name of its file. */
  name?: string;
  /** Whether a model with a description is kept for the next time, where there is a Cache API (default:
   * yes). */
  cache?: boolean;
  /** Where pictures are computed (default "cpu"). A browser without WebGPU, or whose GPU fails, takes the
   * CPU: see {@link Hart.backend}. Pictures of a GPU are not equal byte by byte, and have no previews. */
  backend?: "cpu" | "webgpu";
  /** Ends loading with an `AbortError`. */
  signal?: AbortSignal;
}

/** The settings of a picture; what is left out takes the model's defaults. */
export interface Settings {
  /** The same seed gives the same picture, byte by byte (default 0). */
  seed?: number | bigint;
  /** How far the prompt is followed. */
  guidance?: number;
  /** How much is computed (default "exact"). */
  effort?: "exact" | "fast" | "faster";
  topK?: number;
  topP?: number;
  smooth?: boolean;
  temperature?: number;
  maskPasses?: number;
  diffusionSteps?: string;
  residual?: boolean;
  /** Ends the work at once, with an `AbortError`. */
  signal?: AbortSignal;
  /** Called with every scale; previews are decoded when it is given. */
  onScale?: (done: ScaleDone) => void;
}

/** A finished picture. */
export interface Picture extends Pixels {
  /** The PNG file, with all settings that made it. */
  readonly png: Uint8Array;
  readonly prompt: string;
  readonly seed: bigint;
  /** The settings in the PNG file. */
  readonly settings: Record<string, unknown>;
  /** Words of the prompt that the model does not know. */
  readonly unknownWords: readonly UnknownWord[];
  /** Set when the prompt was longer than what the model reads. */
  readonly cut: { readonly tokens: number; readonly kept: number } | null;
}

/** A model in a worker: the calling thread never waits. Works one picture after the other. */
export class Hart {
  /**
   * Fetches and opens a model. `url` is that of its description, a JSON file with `name`, `file`, `bytes`
   * and `sha256`, or that of the archive itself, which is then neither checked nor kept.
   */
  static load(url: string | URL, onProgress?: (progress: Progress) => void, options?: LoadOptions): Promise<Hart>;
  /** Opens a model whose archive (`pack` makes them) is in memory. */
  static fromBytes(archive: Uint8Array | ArrayBuffer, options?: Pick<LoadOptions, "name" | "backend" | "signal">): Promise<Hart>;

  /** What pictures call the model. */
  readonly name: string;
  /** Where its pictures are computed; edits are always made on the CPU. */
  readonly backend: "cpu" | "webgpu";
  /** The size of its pictures in pixels. */
  readonly width: number;
  readonly height: number;
  /** The words that it knows, in the order of the alphabet; `null` when it does not say. */
  readonly words: readonly string[] | null;

  /** Makes a picture. */
  generate(prompt: string, settings?: Settings): Promise<Picture>;
  /**
   * Makes the marked part of a picture anew and leaves the rest as it is. The mask has the size of the
   * picture; what is opaque in it is marked.
   */
  inpaint(image: Pixels, mask: Pixels, settings?: Settings & { prompt?: string }): Promise<Picture>;
  /** The same picture once more; `strength` is how much is new, from 0 to 1 (default 0.5). */
  vary(image: Pixels, settings?: Settings & { prompt?: string; strength?: number }): Promise<Picture>;
  /** The words of a prompt that the model does not know. */
  unknownWords(prompt: string): Promise<UnknownWord[]>;
  /** Ends the worker and frees its memory; what is not finished fails with an `AbortError`. */
  close(): void;
}
