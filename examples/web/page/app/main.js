// The page: what is pressed, and what follows. The parts know nothing of each other.

import { Gallery } from "./gallery.js";
import { Painter } from "./painter.js";
import { Prompt } from "./prompt.js";
import { Seed } from "./seed.js";
import { Stage } from "./stage.js";
import { canShare, download, share } from "./share.js";
import { keepOffline, offerInstall } from "./offline.js";
import { loadModel } from "./model.js";

const at = (id) => document.getElementById(id);
const stage = new Stage();
const prompt = new Prompt(at("prompt"), at("words"), at("examples"));
const seed = new Seed(at("seed"), at("dice"), at("lock"));
const painter = new Painter(at("marks"), at("brush"));
const gallery = new Gallery(at("gallery"), at("gallery-empty"), at("forget"));

let hart = null;
/** The picture on the stage. */
let shown = null;
/** Ends the work that goes on. */
let work = null;

async function start() {
  stage.problem(null);
  try {
    hart = await loadModel((progress) => stage.loading(progress));
    stage.loading(null);
    stage.say(`Ready. It knows ${hart.words?.length ?? "many"} words.`);
    prompt.ask = (text) => hart.unknownWords(text);
    prompt.check();
  } catch (error) {
    stage.loading(null);
    stage.problem(error.message, start);
  }
  ready();
}

/** What can be pressed now. */
function ready() {
  const draw = at("draw");
  draw.textContent = work ? "Stop" : "Draw";
  draw.disabled = !hart;
  at("apply").disabled = !hart || Boolean(work);
  at("vary").disabled = !hart || Boolean(work);
  at("actions").hidden = !shown;
}

function settings() {
  const guidance = at("guidance").dataset.said ? { guidance: Number(at("guidance").value) } : {};
  return { ...guidance, effort: at("effort").value };
}

/** Has a picture made and shows it as it grows; `make` is given what every way of making one takes. */
async function make(what, make) {
  const mine = new AbortController();
  work = mine;
  const began = performance.now();
  stage.begin(what);
  ready();
  try {
    const onScale = (done) => work === mine && stage.scale(done);
    const picture = await make({ ...settings(), signal: mine.signal, onScale });
    const seconds = (performance.now() - began) / 1000;
    stage.say(`Done in ${seconds.toFixed(2)} s, seed ${picture.seed}.`);
    show(await gallery.add(picture));
  } catch (error) {
    // What was begun since then has the stage.
    if (work !== mine) return;
    if (error.name === "AbortError") stage.say("Stopped.");
    else stage.problem(error.message);
    stage.show(shown);
  } finally {
    if (work === mine) work = null;
    ready();
  }
}

function show(picture) {
  shown = picture;
  stage.show(picture);
  gallery.mark(picture);
  at("share").hidden = !picture || !canShare(picture);
  if (!picture) leavePainting();
  ready();
}

function draw() {
  const text = prompt.text;
  if (!text) return prompt.focus("Say what you want to see, or press an example.");
  leavePainting();
  const value = seed.next();
  make(text, (how) => hart.generate(text, { ...how, seed: value }));
}

function leavePainting() {
  painter.end();
  at("painter").hidden = true;
  at("paint").setAttribute("aria-pressed", "false");
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (work) work.abort();
  else if (hart) draw();
});
prompt.onChoice = () => {
  if (work) work.abort();
  if (hart) draw();
};

at("vary").addEventListener("click", () => {
  const { prompt: text } = shown;
  make(`${text}, varied`, (how) => hart.vary(shown, { ...how, prompt: text, seed: seed.draw() }));
});

at("paint").addEventListener("click", () => {
  if (!at("painter").hidden) return leavePainting();
  at("painter").hidden = false;
  at("paint").setAttribute("aria-pressed", "true");
  painter.begin(shown);
  at("part").value = shown.prompt;
});
at("leave").addEventListener("click", () => {
  leavePainting();
  at("paint").focus();
});
at("clear").addEventListener("click", () => painter.clear());
at("painter").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!painter.isMarked) return stage.say("Paint over the part to change first.");
  const mask = painter.mask();
  const text = at("part").value.trim();
  const from = shown;
  painter.end();
  await make(text || "a part", (how) => hart.inpaint(from, mask, { ...how, prompt: text, seed: seed.draw() }));
  if (!at("painter").hidden) painter.begin(shown);
});

at("guidance").addEventListener("input", () => {
  at("guidance").dataset.said = "yes";
  at("guidance-value").textContent = at("guidance").value;
});
at("guidance-usual").addEventListener("click", () => {
  delete at("guidance").dataset.said;
  at("guidance-value").textContent = "as usual";
});
at("guidance-value").textContent = "as usual";

at("download").addEventListener("click", () => download(shown));
at("share").addEventListener("click", () => share(shown).catch((error) => stage.problem(error.message)));
gallery.onChoice = (picture) => {
  leavePainting();
  show(picture);
  stage.say(`${picture.prompt || "A picture"}, seed ${picture.seed}.`);
  prompt.text = picture.prompt;
};
gallery.onEmpty = () => show(null);

offerInstall(at("install"));
keepOffline();
ready();
gallery.restore();
start();
