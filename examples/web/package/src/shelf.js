// Models that were fetched, kept by the browser for the next time. Where it keeps nothing (Node, pages
// without encryption, no room) they are fetched again.

const SHELF = "hart-models";

const place = (url, mark) => {
  const key = new URL(url);
  key.searchParams.set("kept", mark);
  return key.href;
};

/** The bytes kept of a URL under a mark, such as their hash; `null` when there are none. */
export async function kept(url, mark) {
  try {
    const found = await (await caches.open(SHELF)).match(place(url, mark));
    return found ? new Uint8Array(await found.arrayBuffer()) : null;
  } catch {
    return null;
  }
}

/** Keeps the bytes of a URL, in the place of those that it had before. */
export async function keep(url, mark, bytes) {
  try {
    const shelf = await caches.open(SHELF);
    for (const old of await shelf.keys()) {
      const same = new URL(old.url);
      if (same.origin === url.origin && same.pathname === url.pathname) await shelf.delete(old);
    }
    await shelf.put(place(url, mark), new Response(bytes));
  } catch {
    // It will be fetched again.
  }
}
