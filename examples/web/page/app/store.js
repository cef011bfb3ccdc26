// Pictures in the browser's database. Where there is none (private windows) they last as long as the page.

const STORE = "pictures";

let opened;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("hart", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs a transaction; what it cannot do is left. */
async function within(mode, work, otherwise) {
  try {
    const store = (await open()).transaction(STORE, mode).objectStore(STORE);
    return await work(store);
  } catch {
    return otherwise;
  }
}

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** All pictures with their keys as `id`, the oldest first. */
export function all() {
  return within(
    "readonly",
    async (store) => {
      const [pictures, keys] = await Promise.all([result(store.getAll()), result(store.getAllKeys())]);
      return pictures.map((picture, place) => ({ ...picture, id: keys[place] }));
    },
    [],
  );
}

/** Keeps a picture. Gives its key. */
export function put(picture) {
  return within("readwrite", (store) => result(store.add(picture)), undefined);
}

/** Forgets the pictures with these keys. */
export function forget(keys) {
  const known = keys.filter((key) => key !== undefined);
  return within("readwrite", (store) => Promise.all(known.map((key) => result(store.delete(key)))), []);
}
