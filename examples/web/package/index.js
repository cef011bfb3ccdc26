// Text to image with HART, in a browser or in Node.

export { Hart } from "./src/hart.js";
export { HartError } from "./src/errors.js";
