// Pictures that were drawn, kept on this device.

import { all, forget, put } from "./store.js";

/** How many are kept; older ones are forgotten. */
const MOST = 60;

export class Gallery {
  /** Called with a picture that was chosen. */
  onChoice = () => {};
  /** Called when all were forgotten. */
  onEmpty = () => {};
  #list;
  #empty;
  #button;
  #pictures = [];

  constructor(list, empty, button) {
    this.#list = list;
    this.#empty = empty;
    this.#button = button;
    button.addEventListener("click", async () => {
      await forget(this.#pictures.map(({ id }) => id));
      this.#pictures = [];
      this.#render();
      this.onEmpty();
    });
  }

  /** Shows what was kept. */
  async restore() {
    const kept = await all();
    this.#pictures = [...this.#pictures, ...kept.reverse()];
    this.#render();
  }

  /** Keeps a new picture. */
  async add({ png, data, width, height, prompt, seed }) {
    const kept = { png, data, width, height, prompt, seed: String(seed) };
    kept.id = await put(kept);
    this.#pictures.unshift(kept);
    const old = this.#pictures.splice(MOST);
    await forget(old.map(({ id }) => id));
    this.#render();
    return kept;
  }

  /** Says which picture is shown. */
  mark(picture) {
    for (const [place, item] of [...this.#list.children].entries()) {
      const button = item.firstChild;
      if (this.#pictures[place] === picture) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  #render() {
    for (const image of this.#list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.#list.replaceChildren(...this.#pictures.map((picture) => this.#item(picture)));
    this.#empty.hidden = this.#pictures.length > 0;
    this.#button.hidden = this.#pictures.length === 0;
  }

  #item(picture) {
    const image = new Image(picture.width, picture.height);
    image.src = URL.createObjectURL(new Blob([picture.png], { type: "image/png" }));
    image.alt = `${picture.prompt || "a changed picture"}, seed ${picture.seed}`;
    const button = document.createElement("button");
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => this.onChoice(picture));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }
}
