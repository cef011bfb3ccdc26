// The compiled module, fetched once for all workers.

import { HartError } from "./errors.js";
import { answerOf, bytesOf } from "./files.js";

const WHAT = "the program";

/** Where the module for a backend is. */
const FOLDERS = { cpu: "../wasm/", webgpu: "../wasm-gpu/" };

/** Compiles the module for a backend while it is still coming in, where the server says what it is. */
export async function compiled(backend, report = () => {}, signal = undefined) {
  const url = new URL(`${FOLDERS[backend]}hart_web_bg.wasm`, import.meta.url);
  try {
    if (url.protocol === "file:") return await WebAssembly.compile(await bytesOf(url, WHAT));
    const answer = await answerOf(url, WHAT, signal);
    const total = Number(answer.headers.get("content-length")) || 0;
    report(0, total);
    const type = answer.headers.get("content-type") ?? "";
    const module = type.startsWith("application/wasm")
      ? await WebAssembly.compileStreaming(answer)
      : await WebAssembly.compile(await answer.arrayBuffer());
    report(total, total);
    return module;
  } catch (cause) {
    if (signal?.aborted || cause instanceof HartError) throw cause;
    const message = `${WHAT} cannot be compiled: this needs a browser with WebAssembly and SIMD \
(Chrome 91, Firefox 89, Safari 16.4 or later), and ${url.href} unharmed (${cause.message})`;
    throw new HartError("Unreachable", message, { cause });
  }
}
