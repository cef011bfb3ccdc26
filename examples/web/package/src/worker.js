// The worker: opens a model, then makes one picture after the other. The page goes on meanwhile.

import * as cpu from "../wasm/hart_web.js";

let model;

/** What is made of a message, by its kind; what it returns is posted. */
const work = {
  async open({ backend, module, name, archive }) {
    if (backend === "webgpu") {
      const gpu = await import("../wasm-gpu/hart_web.js");
      gpu.initSync({ module });
      model = await gpu.GpuModel.open(name, archive);
    } else {
      cpu.initSync({ module });
      model = new cpu.Model(name, archive);
    }
    return JSON.parse(model.about());
  },
  unknown: ({ prompt }) => JSON.parse(model.unknown(prompt)),
  // On a GPU a promise.
  generate: async (message) => finished(message, await model.generate(...around(message, []))),
  inpaint(message) {
    const { image, mask } = message;
    const pixels = [image.width, image.height, image.data, mask.data];
    return finished(message, model.inpaint(...around(message, pixels)));
  },
  vary(message) {
    const { image } = message;
    const pixels = [image.width, image.height, image.data];
    return finished(message, model.vary(...around(message, pixels)));
  },
};

/** The arguments of a call: settings, pixels, whether there are previews, and who is told of events. */
function around(message, pixels) {
  message.told = [];
  const report = (json, preview) => {
    const event = JSON.parse(json);
    if (event.kind !== "scale") return void message.told.push(event);
    const data = preview && new Uint8ClampedArray(preview.buffer);
    post({ id: message.id, event: { ...event, data } }, data ? [data.buffer] : []);
  };
  return [message.settings, ...pixels, message.previews, report];
}

/** A picture as it is posted; the memory it had in the module is freed. */
function finished({ told }, picture) {
  const { png, rgba, width, height, settings } = picture;
  picture.free();
  const words = told.find((event) => event.kind === "unknown")?.words ?? [];
  const cut = told.find((event) => event.kind === "cut");
  const data = new Uint8ClampedArray(rgba.buffer);
  return { png, data, width, height, settings: JSON.parse(settings), words, cut: cut ?? null };
}

async function receive(message) {
  try {
    const result = await work[message.kind](message);
    post({ id: message.id, result });
  } catch (error) {
    // What the module means to throw has a name; anything else is a failure inside of it.
    const known = ["InvalidInput", "BadModel", "Failed"].includes(error?.name);
    const failure = { name: known ? error.name : "Failed", message: error?.message ?? String(error) };
    post({ id: message.id, failure, broken: !known });
  }
}

let post;
if (globalThis.postMessage) {
  post = (message, handedOver = []) => globalThis.postMessage(message, handedOver);
  globalThis.onmessage = ({ data }) => receive(data);
} else {
  const { parentPort } = await import("node:worker_threads");
  post = (message, handedOver = []) => parentPort.postMessage(message, handedOver);
  parentPort.on("message", receive);
}
