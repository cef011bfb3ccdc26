// The package and the model beside the page.

import { Hart } from "../hart/index.js";

const MODEL = new URL("../models/embedded-64px.json", import.meta.url);

/** Loads the model; `report` is given how far it is. `?backend=webgpu` in the address asks for the GPU. */
export function loadModel(report) {
  const backend = new URLSearchParams(location.search).get("backend");
  return Hart.load(MODEL, report, { backend });
}
