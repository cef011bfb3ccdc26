// The picture as it grows, and what is said of it.

const at = (id) => document.getElementById(id);

/** What is being loaded, for people. */
const STAGES = { code: "Loading the program", model: "Loading the model", opening: "Opening the model" };

export class Stage {
  #canvas = at("picture");
  #loaded = { code: [0, 0], model: [0, 0] };

  /** How far loading is; `null` when it is over. */
  loading(progress) {
    at("load").hidden = !progress;
    if (!progress) return;
    const { stage, loaded, total } = progress;
    if (stage in this.#loaded) this.#loaded[stage] = [loaded, total];
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    const [done, all] = this.#loaded.model;
    const label = STAGES[stage === "code" && all ? "model" : stage] ?? STAGES.opening;
    at("load-label").textContent = all ? `${label} (${megabytes(done)} of ${megabytes(all)} MB)` : label;
    const bar = at("progress");
    if (stage === "opening" || !all) bar.removeAttribute("value");
    else bar.value = done / all;
  }

  say(text) {
    at("status").textContent = text;
  }

  /** A problem in words, with a button when something can be done; `null` for none. */
  problem(text, again) {
    at("problem").hidden = !text;
    at("problem-text").textContent = text ?? "";
    at("retry").hidden = !again;
    at("retry").onclick = again ?? null;
    if (text) this.say("");
  }

  begin(what) {
    this.problem(null);
    this.say(`Drawing ${what} …`);
    at("scales").replaceChildren();
    at("frame").scrollIntoView({ block: "nearest" });
  }

  /** A scale is finished: the picture so far. */
  scale({ scale, scales, preview }) {
    const bars = at("scales");
    while (bars.children.length < scales) bars.append(document.createElement("span"));
    bars.children[scale].className = "done";
    if (preview) this.#paint(preview);
  }

  /** A finished picture, or none. */
  show(picture) {
    at("hint").hidden = Boolean(picture);
    if (!picture) {
      this.#canvas.getContext("2d").clearRect(0, 0, this.#canvas.width, this.#canvas.height);
      this.#canvas.setAttribute("aria-label", "No picture yet");
      return;
    }
    this.#paint(picture);
    this.#canvas.setAttribute("aria-label", `Picture of ${picture.prompt || "what suits"}`);
  }

  #paint({ width, height, data }) {
    at("hint").hidden = true;
    Object.assign(this.#canvas, { width, height });
    const pixels = new ImageData(new Uint8ClampedArray(data), width, height);
    this.#canvas.getContext("2d").putImageData(pixels, 0, 0);
  }
}
