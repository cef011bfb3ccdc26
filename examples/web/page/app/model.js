// The package and the model beside the page.

import { Hart } from "../hart/index.js";

const MODEL = new URL("../models/embedded-64px.json", import.meta.url);

/** Loads the model; `report` is given how far it is. */
export function loadModel(report) {
  return Hart.load(MODEL, report);
}
