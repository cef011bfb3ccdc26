// A model's archive: found, fetched, checked, kept.

import { HartError } from "./errors.js";
import { bytesOf } from "./files.js";
import { kept, keep } from "./shelf.js";

const WHAT = "the model";

/**
 * The archive at a URL and what its pictures call the model. The URL may be that of a description, `{ name,
 * file, bytes, sha256 }`: its archive is checked, and kept for the next time.
 */
export async function archiveAt(url, report, { cache = true, signal } = {}) {
  if (!url.pathname.endsWith(".json")) {
    const bytes = await bytesOf(url, WHAT, { signal, report });
    checkKind(bytes, url);
    return { name: stem(url), bytes };
  }
  const description = await descriptionAt(url, cache, signal);
  const file = new URL(description.file, url);
  const { name = stem(file), bytes: size, sha256 } = description;
  const found = cache && (await kept(file, sha256));
  if (found && (await digest(found)) === sha256) {
    report(found.length, found.length);
    return { name, bytes: found };
  }
  const bytes = await bytesOf(file, WHAT, { signal, report, size });
  checkKind(bytes, file);
  await checkContent(bytes, size, sha256);
  if (cache) await keep(file, sha256, bytes);
  return { name, bytes };
}

/** The description at a URL; without a network the one that was kept. */
async function descriptionAt(url, cache, signal) {
  const what = "the model's description";
  let bytes;
  try {
    bytes = await bytesOf(url, what, { signal });
  } catch (error) {
    bytes = cache && error.name === "Unreachable" && error.cause ? await kept(url, "description") : null;
    if (!bytes) throw error;
  }
  const description = parse(bytes, what, url);
  if (cache) await keep(url, "description", bytes);
  return description;
}

function parse(bytes, what, url) {
  try {
    const found = JSON.parse(new TextDecoder().decode(bytes));
    const { file, bytes: size, sha256 } = found;
    if (typeof file === "string" && size > 0 && /^[0-9a-f]{64}$/.test(sha256)) return found;
  } catch {
    if (isPage(bytes)) {
      throw new HartError("BadModel", `${url.href} is a web page, expected ${what}: is the address right?`);
    }
  }
  const expected = "JSON with file, bytes and sha256";
  throw new HartError("BadModel", `${url.href} is not ${what}: expected ${expected}`);
}

/** Says what an answer is that is no archive at all. */
function checkKind(bytes, url) {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return;
  const found = isPage(bytes) ? "a web page" : bytes.length ? "something else" : "empty";
  throw new HartError("BadModel", `${url.href} is ${found}, expected a model: is the address right?`);
}

async function checkContent(bytes, size, sha256) {
  if (bytes.length < size) {
    const message = `${WHAT} ended after ${bytes.length} of ${size} bytes: try again`;
    throw new HartError("Unreachable", message);
  }
  if (bytes.length > size) {
    throw new HartError("BadModel", `${WHAT} has ${bytes.length} bytes, its description says ${size}`);
  }
  const found = await digest(bytes);
  if (found !== undefined && found !== sha256) {
    const message = `${WHAT} is not the one that its description names (its SHA-256 begins with \
${found.slice(0, 8)}, expected ${sha256.slice(0, 8)}): it is damaged or was replaced`;
    throw new HartError("BadModel", message);
  }
}

/** SHA-256 in hexadecimal. A page that came without encryption has none; then every file of the archive
 * still has its own checksum. */
async function digest(bytes) {
  if (!globalThis.crypto?.subtle) return undefined;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isPage = (bytes) => /^\s*</.test(new TextDecoder().decode(bytes.subarray(0, 64)));
const stem = (url) => decodeURIComponent(url.pathname.split("/").pop()).replace(/\.[^.]*$/, "") || "model";
