// Bytes from a server, or from a disk in Node.

import { HartError } from "./errors.js";

const isFile = (url) => url.protocol === "file:";

/** A relative address is one beside the page; in Node, beside the working folder. */
export async function absolute(url) {
  if (url instanceof URL) return url;
  if (globalThis.location) return new URL(url, globalThis.location.href);
  if (/^[a-z]+:\/\//.test(url)) return new URL(url);
  const { pathToFileURL } = await import("node:url");
  return pathToFileURL(url);
}

/** All bytes of a file, which errors call `what`; `report` is called with how many there are and will be. */
export async function bytesOf(url, what, { signal, report = () => {}, size = 0 } = {}) {
  if (isFile(url)) return bytesOnDisk(url, what);
  const answer = await answerOf(url, what, signal);
  const encoded = answer.headers.get("content-encoding");
  const total = size || (encoded ? 0 : Number(answer.headers.get("content-length")) || 0);
  return received(answer, url, what, (loaded) => report(loaded, total), signal);
}

async function bytesOnDisk(url, what) {
  const { readFile } = await import("node:fs/promises");
  try {
    return new Uint8Array(await readFile(url));
  } catch (cause) {
    throw new HartError("Unreachable", `${what} cannot be read: ${cause.message}`, { cause });
  }
}

/** An answer that says to be the file. */
export async function answerOf(url, what, signal) {
  let answer;
  try {
    answer = await fetch(url, { signal });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const message = `${what} cannot be fetched from ${url.host}: no network, or the server is away`;
    throw new HartError("Unreachable", message, { cause });
  }
  if (!answer.ok) {
    const message = `${what} is not at ${url.href}: the server says ${answer.status}`;
    throw new HartError("Unreachable", message);
  }
  return answer;
}

async function received(answer, url, what, report, signal) {
  const chunks = [];
  let loaded = 0;
  try {
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      loaded += value.length;
      report(loaded);
    }
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const message = `${what} ended after ${loaded} bytes, the connection to ${url.host} broke: try again`;
    throw new HartError("Unreachable", message, { cause });
  }
  const bytes = new Uint8Array(loaded);
  let place = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, place);
    place += chunk.length;
  }
  return bytes;
}
