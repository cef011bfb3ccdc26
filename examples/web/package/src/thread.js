// A worker, the same in a browser and in Node.

const file = () => new URL("./worker.js", import.meta.url);

/** Starts a worker; `onMessage` is given what it posts, `onDeath` why it ended by itself. */
export async function startThread(onMessage, onDeath) {
  return globalThis.Worker ? inBrowser(onMessage, onDeath) : inNode(onMessage, onDeath);
}

function inBrowser(onMessage, onDeath) {
  const worker = new Worker(file(), { type: "module", name: "hart" });
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = (event) => onDeath(event.message ?? "its program cannot be loaded");
  return {
    post: (message, handedOver = []) => worker.postMessage(message, handedOver),
    end: () => worker.terminate(),
  };
}

async function inNode(onMessage, onDeath) {
  const { Worker } = await import("node:worker_threads");
  const worker = new Worker(file(), { name: "hart" });
  worker.on("message", onMessage);
  worker.on("error", (error) => onDeath(error.message));
  // A program may end while a model is open.
  worker.unref();
  return {
    post: (message, handedOver = []) => worker.postMessage(message, handedOver),
    end: () => void worker.terminate(),
    hold: () => worker.ref(),
    release: () => worker.unref(),
  };
}
