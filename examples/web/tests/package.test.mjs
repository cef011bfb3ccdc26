// The package in Node, from its folder.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { cases } from "./cases.mjs";
import { assertNative } from "./native.mjs";

const { HART_SITE: site, HART_PACKAGE: folder } = process.env;
const { Hart, HartError } = await import(pathToFileURL(join(folder, "index.js")));
const description = pathToFileURL(join(site, "models/embedded-64px.json"));
const archive = () => readFile(join(site, "models/embedded-64px.zip"));

let hart;
const stages = [];
before(async () => {
  hart = await Hart.load(description, ({ stage }) => stages.push(stage));
});
after(() => hart.close());

test("loading says what it does", () => {
  assert.equal(stages.at(-1), "ready");
  assert.ok(stages.includes("opening"));
  assert.deepEqual([hart.name, hart.width, hart.height], ["embedded-64px", 64, 64]);
  assert.ok(hart.words.includes("cat"));
});

test("pictures are the native program's, to the rounding of single values", async (t) => {
  const apart = [];
  for (const [place, [prompt, seed]] of cases.entries()) {
    const { png } = await hart.generate(prompt, { seed });
    apart.push(await assertNative(png, place));
  }
  t.diagnostic(`values that are a step apart, of 12288 in each picture: ${apart.join(", ")}`);
});

test("the same seed gives the same bytes", async () => {
  const [one, same] = [await hart.generate("a dog", { seed: 8 }), await hart.generate("a dog", { seed: 8 })];
  assert.deepEqual(one.png, same.png);
  assert.notDeepEqual(one.png, (await hart.generate("a dog", { seed: 9 })).png);
});

test("a picture says what made it", async () => {
  const picture = await hart.generate("a floozle and a cat", { seed: 3n, guidance: 2, effort: "fast" });
  assert.deepEqual([picture.prompt, picture.seed], ["a floozle and a cat", 3n]);
  assert.deepEqual([picture.settings.guidance, picture.settings.effort], [2, "fast"]);
  assert.deepEqual(picture.unknownWords.map(({ word }) => word), ["floozle"]);
  assert.equal(picture.data.length, 64 * 64 * 4);
});

test("scales come in order, with previews that end in the picture", async () => {
  const scales = [];
  const picture = await hart.generate("a cat", { onScale: (done) => scales.push(done) });
  assert.deepEqual(scales.map(({ scale }) => scale), [...Array(scales[0].scales).keys()]);
  assert.deepEqual(scales.at(-1).preview.data, picture.data);
  assert.notDeepEqual(scales[0].preview.data, picture.data);
});

test("a part is made anew and the rest stays as it is", async () => {
  const picture = await hart.generate("a red heart", { seed: 1 });
  const data = new Uint8ClampedArray(64 * 64 * 4);
  const isMarked = (place) => place % 64 >= 32;
  for (let place = 0; place < 64 * 64; place++) data[4 * place + 3] = isMarked(place) ? 255 : 0;
  const mask = { width: 64, height: 64, data };
  const changed = await hart.inpaint(picture, mask, { prompt: "a green apple", seed: 2 });
  let apart = 0;
  for (let place = 0; place < 64 * 64; place++) {
    const differs = [0, 1, 2].some((c) => changed.data[4 * place + c] !== picture.data[4 * place + c]);
    if (differs) apart++;
    assert.ok(isMarked(place) || !differs, `pixel ${place} is not marked and has changed`);
  }
  assert.ok(apart > 100, `${apart} pixels are new`);
  assert.equal(changed.settings.edit.kind, "inpaint");
});

test("what is new of a variation comes from its seed, and nothing of it at strength 0", async () => {
  const picture = await hart.generate("a cat", { seed: 1 });
  const pixels = async (strength, seed) => (await hart.vary(picture, { prompt: "a cat", strength, seed })).data;
  assert.deepEqual(await pixels(0, 5), await pixels(0, 6));
  assert.notDeepEqual(await pixels(1, 5), await pixels(1, 6));
  assert.notDeepEqual(await pixels(0.5, 5), await pixels(0, 5));
});

test("work is cancelled at once, and what follows is as ever", async () => {
  const expected = await hart.generate("a cat", { seed: 0 });
  const stop = new AbortController();
  const work = hart.generate("a dog", { signal: stop.signal, onScale: () => stop.abort() });
  const next = hart.generate("a cat", { seed: 0 });
  await assert.rejects(work, { name: "AbortError" });
  assert.deepEqual((await next).png, expected.png);
});

test("work that waits is cancelled without disturbing what goes on", async () => {
  const stop = new AbortController();
  const first = hart.generate("a cat");
  const second = hart.generate("a dog", { signal: stop.signal });
  stop.abort();
  await assert.rejects(second, { name: "AbortError" });
  assert.equal((await first).prompt, "a cat");
});

test("what cannot be is refused in words", async () => {
  const refused = [
    [() => hart.generate("a cat", { guidanec: 3 }), /guidanec/],
    [() => hart.generate("a cat", { guidance: -1 }), /guidance/],
    [() => hart.generate("a cat", { seed: -1 }), /seed/],
    [() => hart.generate("a cat", { effort: "lazy" }), /exact, fast or faster/],
    [() => hart.generate(""), /prompt/],
    [() => hart.vary({ width: 3, height: 3, data: new Uint8Array(5) }), /ImageData/],
    [() => hart.inpaint(...[0, 0].map(() => ({ width: 2, height: 2, data: new Uint8Array(16) }))), /mask/],
  ];
  for (const [work, message] of refused) {
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof HartError, String(error));
      assert.equal(error.name, "InvalidInput");
      assert.match(error.message, message);
      return true;
    });
  }
});

test("damaged models are refused in words", async () => {
  const whole = await archive();
  const damaged = [
    whole.subarray(0, whole.length / 2),
    new Uint8Array(0),
    new TextEncoder().encode("<!doctype html><title>404</title>"),
    Uint8Array.from(whole, (byte, place) => (place === 4_000_000 ? byte ^ 1 : byte)),
  ];
  for (const bytes of damaged) {
    await assert.rejects(Hart.fromBytes(bytes), { name: "BadModel" });
  }
});

test("bytes of a model and its address give the same pictures", async () => {
  const other = await Hart.fromBytes(await archive(), { name: "embedded-64px" });
  const [one, same] = [await other.generate("a cat"), await hart.generate("a cat")];
  other.close();
  assert.deepEqual(one.png, same.png);
  await assert.rejects(other.generate("a cat"), /load it again/);
});
