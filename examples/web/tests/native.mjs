// Pictures of the native program, and how those of a browser compare with them. WebAssembly multiplies and
// adds in two roundings where processors do it in one: a value in some thousands ends on the other side of a
// step of 255. Everything else is equal, the settings to the letter.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decode } from "./png.mjs";

/** How many values in a thousand may be one step apart. */
const PER_MILLE = 1;

/** Asserts that a file has the picture of the native program's file at a place of the cases. Gives how many
 * values are a step apart. */
export async function assertNative(png, place) {
  const expected = decode(await readFile(join(process.env.HART_NATIVE, `${place}.png`)));
  const found = decode(png);
  assert.deepEqual(found.texts, expected.texts);
  assert.equal(found.pixels.length, expected.pixels.length);
  const apart = Array.from(found.pixels, (value, i) => Math.abs(value - expected.pixels[i]));
  const differing = apart.filter(Boolean).length;
  assert.ok(Math.max(...apart) <= 1, `picture ${place}: a value is ${Math.max(...apart)} steps apart`);
  assert.ok(differing * 1000 <= PER_MILLE * apart.length, `picture ${place}: ${differing} values differ`);
  return differing;
}
