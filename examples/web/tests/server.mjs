// A server of the page's folder, which can be told to answer otherwise.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".zip": "application/zip",
};

export async function serve(folder) {
  /** Other answers by path: functions of the file's bytes, giving status, type and bytes. */
  const otherwise = new Map();
  const sent = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const name = path.endsWith("/") ? `${path}index.html` : path;
    const bytes = await readFile(join(folder, name)).catch(() => null);
    const usual = { status: bytes ? 200 : 404, type: TYPES[extname(name)] ?? "text/plain", bytes: bytes ?? "" };
    const answer = { ...usual, ...otherwise.get(path)?.(bytes) };
    sent.set(path, (sent.get(path) ?? 0) + answer.bytes.length);
    response.writeHead(answer.status, {
      "content-type": answer.type,
      "content-length": answer.claims ?? answer.bytes.length,
    });
    response.write(answer.bytes);
    if (answer.claims) response.destroy();
    else response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://localhost:${server.address().port}/`,
    otherwise,
    sent,
    close: () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())),
  };
}
