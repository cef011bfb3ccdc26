// The page in Chromium: HART_SITE is its folder, HART_CHROMIUM the browser; screenshots go to HART_SHOTS.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { cases } from "./cases.mjs";
import { assertNative } from "./native.mjs";
import { serve } from "./server.mjs";

const { HART_SITE: site, HART_CHROMIUM: browserPath, HART_SHOTS: shots } = process.env;
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const MODEL = "/models/embedded-64px.zip";
const PHONE = { width: 360, height: 740 };

let server, browser;
before(async () => {
  server = await serve(site);
  browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
});
after(async () => {
  await browser.close();
  await server.close();
});

/** A fresh visitor's page. */
async function visit(t, options = {}, { isReady = true } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 860 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (said) => said.type() === "error" && page.problems.push(said.text()));
  await page.goto(server.url);
  if (isReady) await page.waitForFunction(() => !document.getElementById("draw").disabled, null, { timeout: 60_000 });
  return page;
}

async function draw(page, prompt, seed) {
  await page.fill("#seed", String(seed));
  await page.fill("#prompt", prompt);
  const before = await page.locator("#gallery img").count();
  await page.click("#draw");
  await page.waitForFunction((count) => document.querySelectorAll("#gallery img").length > count, before);
}

/** The bytes of the newest picture, as its file has them. */
async function newest(page) {
  const bytes = await page.evaluate(async () => {
    const { src } = document.querySelector("#gallery img");
    return Array.from(new Uint8Array(await (await fetch(src)).arrayBuffer()));
  });
  return Buffer.from(bytes);
}

/** Runs code with the package in the page. */
const withPackage = (page, code, argument) =>
  page.evaluate(
    ([code, argument]) =>
      import(new URL("hart/index.js", location.href)).then((hart) => new Function("hart", "argument", `return (${code})(hart, argument)`)(hart, argument)),
    [code.toString(), argument],
  );

test("the first visit loads, draws, and says how long it took", async (t) => {
  const began = performance.now();
  const page = await visit(t);
  const seconds = (performance.now() - began) / 1000;
  await draw(page, "a cat", 0);
  await assertNative(await newest(page), 0);
  const code = [...server.sent].filter(([path]) => path !== MODEL).reduce((sum, [, bytes]) => sum + bytes, 0);
  t.diagnostic(`ready after ${seconds.toFixed(2)} s; ${code} bytes of page and code, ${server.sent.get(MODEL)} of model`);
  assert.deepEqual(page.problems, []);
});

test("ten pictures are the native program's, to the rounding of single values", async (t) => {
  const page = await visit(t);
  const apart = [];
  for (const [place, [prompt, seed]] of cases.entries()) {
    await draw(page, prompt, seed);
    apart.push(await assertNative(await newest(page), place));
  }
  t.diagnostic(`values that are a step apart, of 12288 in each picture: ${apart.join(", ")}`);
});

test("a picture takes less than two seconds on any machine", async (t) => {
  const page = await visit(t);
  const times = await withPackage(page, async ({ Hart }) => {
    const hart = await Hart.load("models/embedded-64px.json");
    const times = [];
    for (let seed = 0; seed < 12; seed++) {
      const began = performance.now();
      await hart.generate("a cat", { seed });
      times.push(performance.now() - began);
    }
    return times;
  });
  const sorted = times.toSorted((a, b) => a - b);
  t.diagnostic(`first ${times[0].toFixed(0)} ms, median ${sorted[6].toFixed(0)} ms, best ${sorted[0].toFixed(0)} ms`);
  assert.ok(sorted[0] < 2000);
});

test("previews grow scale by scale while the page goes on", async (t) => {
  const page = await visit(t);
  await page.evaluate(() => {
    window.paints = [];
    window.frames = 0;
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
      window.paints.push(image.data.reduce((sum, value) => (sum * 31 + value) % 1e9, 7));
      return put.call(this, image, ...rest);
    };
    const tick = () => (window.frames++, setTimeout(tick));
    tick();
  });
  await page.evaluate(() => (window.frames = 0));
  await draw(page, "a cat", 0);
  const { paints, frames } = await page.evaluate(() => ({ paints: window.paints, frames: window.frames }));
  assert.ok(new Set(paints).size >= 6, `${paints.length} pictures on the way`);
  assert.ok(frames > 5, `the page had ${frames} turns while it was drawing`);
});

test("a part is painted over with the mouse and made anew", async (t) => {
  const page = await visit(t);
  await draw(page, "a red heart", 1);
  await page.click("#paint");
  const box = await page.locator("#marks").boundingBox();
  await page.mouse.move(box.x + box.width * 0.7, box.y + box.height * 0.2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + box.height * 0.8, { steps: 8 });
  await page.mouse.up();
  if (shots) await page.screenshot({ path: join(shots, "painting.png"), fullPage: true });
  await page.fill("#part", "a green apple");
  await page.click("#apply");
  await page.waitForFunction(() => document.querySelectorAll("#gallery img").length === 2);
  const pictures = await page.evaluate(async () => {
    const pixels = [];
    for (const image of document.querySelectorAll("#gallery img")) {
      const bitmap = await createImageBitmap(await (await fetch(image.src)).blob());
      const context = new OffscreenCanvas(64, 64).getContext("2d");
      context.drawImage(bitmap, 0, 0);
      pixels.push(Array.from(context.getImageData(0, 0, 64, 64).data));
    }
    return pixels;
  });
  const differs = (place) => [0, 1, 2].some((c) => pictures[0][4 * place + c] !== pictures[1][4 * place + c]);
  const places = [...Array(64 * 64).keys()].filter(differs);
  assert.ok(places.length > 100, `${places.length} pixels are new`);
  assert.ok(places.every((place) => place % 64 >= 32), "a pixel that was not marked has changed");
});

test("a part is marked with the keyboard", async (t) => {
  const page = await visit(t);
  await draw(page, "a cat", 1);
  await page.focus("#paint");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "marks");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", " ", "ArrowDown", " "]) await page.keyboard.press(key);
  await page.click("#apply");
  await page.waitForFunction(() => document.querySelectorAll("#gallery img").length === 2);
});

test("a variation is made, and drawing is stopped", async (t) => {
  const page = await visit(t);
  await draw(page, "a cat", 1);
  await page.click("#vary");
  await page.waitForFunction(() => document.querySelectorAll("#gallery img").length === 2);
  await page.fill("#prompt", "a dog");
  // Stopped by the page itself as soon as it has begun, which no test outside of it is fast enough for.
  await page.evaluate(() => {
    document.getElementById("draw").click();
    setTimeout(() => document.getElementById("draw").click());
  });
  await page.waitForFunction(() => document.getElementById("status").textContent === "Stopped.");
  await draw(page, "a cat", 0);
  await assertNative(await newest(page), 0);
});

test("unknown words are explained and replaced", async (t) => {
  const page = await visit(t);
  await page.fill("#prompt", "a bananna");
  await page.locator("#words button", { hasText: "banana" }).click();
  assert.equal(await page.inputValue("#prompt"), "a banana");
  await page.waitForFunction(() => document.getElementById("words").textContent === "");
});

test("a seed is kept while it is locked", async (t) => {
  const page = await visit(t);
  await page.fill("#seed", "77");
  for (const prompt of ["a cat", "a dog"]) {
    await page.fill("#prompt", prompt);
    const before = await page.locator("#gallery img").count();
    await page.click("#draw");
    await page.waitForFunction((count) => document.querySelectorAll("#gallery img").length > count, before);
    assert.match(await page.textContent("#status"), /seed 77\./);
  }
  await page.click("#lock");
  const before = await page.locator("#gallery img").count();
  await page.click("#draw");
  await page.waitForFunction((count) => document.querySelectorAll("#gallery img").length > count, before);
  assert.doesNotMatch(await page.textContent("#status"), /seed 77\./);
});

test("without a network a second visit draws, and has the pictures of the first", async (t) => {
  const page = await visit(t);
  await draw(page, "a cat", 0);
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  await page.evaluate(async () => {
    // The worker has kept everything once it is active.
    await navigator.serviceWorker.ready;
  });
  await page.context().setOffline(true);
  const sent = server.sent.get(MODEL);
  await page.reload();
  await page.waitForFunction(() => !document.getElementById("draw").disabled, null, { timeout: 60_000 });
  assert.equal(await page.locator("#gallery img").count(), 1);
  await draw(page, "a red heart, flat style", 7);
  await assertNative(await newest(page), 1);
  assert.equal(server.sent.get(MODEL), sent);
});

test("a picture is downloaded with its name", async (t) => {
  const page = await visit(t);
  await draw(page, "a red heart, flat style", 7);
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  assert.equal(saved.suggestedFilename(), "a-red-heart-flat-style-7.png");
  await assertNative(await readFile(await saved.path()), 1);
});

test("a picture is shared where the system can, and a change of mind is no error", async (t) => {
  const page = await visit(t);
  await draw(page, "a red heart, flat style", 7);
  // Not every system has something to share with: the button shows where this one says so.
  await page.evaluate(() => {
    window.shared = [];
    navigator.canShare = ({ files }) => files.every(({ type }) => type === "image/png");
    navigator.share = async ({ files: [file], title }) => {
      window.shared.push([file.name, title, Array.from(new Uint8Array(await file.arrayBuffer()))]);
      if (window.shared.length > 1) throw new DOMException("not now", "AbortError");
    };
  });
  await draw(page, "a red heart, flat style", 7);
  for (let times = 1; times <= 2; times++) {
    await page.click("#share");
    await page.waitForFunction((times) => window.shared.length === times, times);
  }
  const [[name, title, bytes]] = await page.evaluate(() => window.shared);
  assert.deepEqual([name, title], ["a-red-heart-flat-style-7.png", "a red heart, flat style"]);
  await assertNative(Buffer.from(bytes), 1);
  assert.ok(await page.locator("#problem-text").isHidden());
});

test("the browser finds nothing that keeps the page from being installed", async (t) => {
  const page = await visit(t);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const devtools = await page.context().newCDPSession(page);
  const { errors, data } = await devtools.send("Page.getAppManifest");
  assert.deepEqual(errors, []);
  assert.equal(JSON.parse(data).display, "standalone");
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  // A context of a test is like a private window, in which nothing is installed.
  const others = installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito");
  assert.deepEqual(others, []);
  // The button waits for the browser's offer, and hands it on.
  assert.ok(await page.locator("#install").isHidden());
  await page.evaluate(() => {
    const offer = new Event("beforeinstallprompt", { cancelable: true });
    offer.prompt = async () => (window.offered = true);
    offer.userChoice = Promise.resolve({ outcome: "accepted" });
    dispatchEvent(offer);
  });
  await page.click("#install");
  await page.waitForFunction(() => window.offered);
});

for (const colorScheme of ["light", "dark"]) {
  for (const [name, viewport] of [["phone", PHONE], ["desk", { width: 1100, height: 860 }]]) {
    test(`nothing stands in the way of assistive technology, and all fits: ${name}, ${colorScheme}`, async (t) => {
      const page = await visit(t, { viewport, colorScheme, deviceScaleFactor: 1 });
      for (const [prompt, seed] of cases.slice(0, 6)) await draw(page, prompt, seed);
      await page.evaluate(() => scrollTo(0, 0));
      if (shots) await page.screenshot({ path: join(shots, `first-${name}-${colorScheme}.png`) });
      await page.fill("#prompt", "a bananna on a table");
      await page.locator("#words button").first().waitFor();
      if (shots) await page.screenshot({ path: join(shots, `${name}-${colorScheme}.png`), fullPage: true });
      await page.click("summary");
      await page.click("#paint");
      await page.addScriptTag({ path: axe });
      const { violations } = await page.evaluate(() => axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= viewport.width, `${wide} pixels wide`);
      if (shots) await page.screenshot({ path: join(shots, `${name}-${colorScheme}-open.png`), fullPage: true });
    });
  }
}

const html = new TextEncoder().encode("<!doctype html><title>Sign in</title>".padEnd(5000));
const hostile = [
  ["a model that is cut short", MODEL, (bytes) => ({ bytes: bytes.subarray(0, 1_000_000) }), /ended after 1000000 of \d+ bytes/],
  ["a connection that breaks", MODEL, (bytes) => ({ bytes: bytes.subarray(0, 1_000_000), claims: bytes.length }), /(ended after \d+ bytes, the connection|cannot be fetched)/],
  ["another model than the description names", MODEL, (bytes) => ({ bytes: Buffer.from(bytes).fill(7, 5000, 5100) }), /SHA-256.*damaged or was replaced/],
  ["a model that is missing", MODEL, () => ({ status: 404, type: "text/html", bytes: html }), /is not at .*404/],
  ["a page in the place of the model", MODEL, () => ({ type: "text/html", bytes: html }), /is a web page, expected a model/],
  ["a page in the place of the description", "/models/embedded-64px.json", () => ({ type: "text/html", bytes: html }), /web page, expected the model's description/],
  ["a server in trouble", "/models/embedded-64px.json", () => ({ status: 503, bytes: "" }), /503/],
  ["a program that is missing", "/hart/wasm/hart_web_bg.wasm", () => ({ status: 404, bytes: html }), /the program is not at .*404/],
  ["a page in the place of the program", "/hart/wasm/hart_web_bg.wasm", () => ({ type: "text/html", bytes: html }), /the program cannot be compiled/],
];
for (const [what, path, answer, said] of hostile) {
  test(`${what} is said in words, and can be tried again`, async (t) => {
    server.otherwise.set(path, answer);
    t.after(() => server.otherwise.delete(path));
    const page = await visit(t, { serviceWorkers: "block" }, { isReady: false });
    const problem = page.locator("#problem-text");
    await problem.filter({ hasText: said }).waitFor({ timeout: 20_000 });
    t.diagnostic(await problem.textContent());
    server.otherwise.delete(path);
    await page.click("#retry");
    await page.waitForFunction(() => !document.getElementById("draw").disabled, null, { timeout: 60_000 });
    await draw(page, "a cat", 0);
  });
}
