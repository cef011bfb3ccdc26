// The module for WebGPU in Chromium, on a GPU that is computed: right or wrong can be told, speed cannot.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { cases } from "./cases.mjs";
import { serve } from "./server.mjs";

const { HART_SITE: site, HART_CHROMIUM: executablePath } = process.env;
const SWIFTSHADER = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
const skip = !existsSync(join(site, "hart/wasm-gpu")) && "scripts/web gpu builds it";

/** Runs code with the package in a page of a browser with these flags. */
async function inPage(t, flags, code, argument) {
  const server = await serve(site);
  t.after(server.close);
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...flags] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${server.url}manifest.webmanifest`);
  return page.evaluate(
    ([code, base, argument]) =>
      import(new URL("hart/index.js", base)).then((hart) => new Function(`return ${code}`)()(hart, base, argument)),
    [code.toString(), server.url, argument],
  );
}

/** Pictures by both backends: which they were, the largest difference of a value, and seconds. */
async function compare({ Hart }, base, cases) {
  const model = new URL("models/embedded-64px.json", base);
  const gpu = await Hart.load(model, undefined, { backend: "webgpu" });
  const cpu = await Hart.load(model);
  const compared = [];
  for (const [prompt, seed] of cases) {
    const began = performance.now();
    const one = await gpu.generate(prompt, { seed });
    const seconds = (performance.now() - began) / 1000;
    const other = await cpu.generate(prompt, { seed });
    const apart = one.data.map((value, place) => Math.abs(value - other.data[place]));
    compared.push({ most: Math.max(...apart), differing: apart.filter(Boolean).length, seconds });
  }
  const changed = await gpu.vary(await gpu.generate(...cases[0]), { strength: 0.5 });
  return { backend: gpu.backend, recorded: changed.settings.backend, compared };
}

test("pictures of a GPU are within one step of 255 of the CPU's", { skip, timeout: 600_000 }, async (t) => {
  const { backend, recorded, compared } = await inPage(t, SWIFTSHADER, compare, cases.slice(0, 3));
  for (const line of compared) t.diagnostic(JSON.stringify(line));
  assert.equal(backend, "webgpu");
  assert.equal(recorded, "flex");
  for (const { most } of compared) assert.ok(most <= 1, `a value is ${most} apart`);
});

test("without a GPU the CPU takes over", { timeout: 120_000 }, async (t) => {
  const { backend, compared } = await inPage(t, [], compare, cases.slice(0, 1));
  assert.equal(backend, "cpu");
  assert.equal(compared[0].most, 0);
});
