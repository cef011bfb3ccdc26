// The prompt, examples to press, and words that the model does not know.

const EXAMPLES = [
  "a cat",
  "a red heart, flat style",
  "3d penguin",
  "pizza on a blue background",
  "rocket on black",
  "smiley with sunglasses",
  "a large red circle above a small blue square",
  "sunflower",
];

/** How long nobody types before words are looked up, in milliseconds. */
const PAUSE = 250;

export class Prompt {
  /** Gives the unknown words of a text; set when there is a model. */
  ask = null;
  /** Called when an example was chosen. */
  onChoice = () => {};
  #input;
  #words;
  #timer;

  constructor(input, words, examples) {
    this.#input = input;
    this.#words = words;
    for (const text of EXAMPLES) {
      const button = pressing(text, () => {
        this.text = text;
        this.onChoice();
      });
      const item = document.createElement("li");
      item.append(button);
      examples.append(item);
    }
    input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.check(), PAUSE);
    });
  }

  get text() {
    return this.#input.value.trim();
  }

  set text(text) {
    this.#input.value = text;
    this.check();
  }

  /** Asks for a prompt. */
  focus(why) {
    this.#words.textContent = why;
    this.#input.focus();
  }

  /** Explains the words that the model does not know, with the nearest that it does. */
  async check() {
    const text = this.text;
    const unknown = text && this.ask ? await this.ask(text).catch(() => []) : [];
    if (text !== this.text) return;
    this.#words.replaceChildren(...unknown.flatMap((word) => this.#explained(word)));
  }

  #explained({ word, nearest }) {
    if (!nearest) return [`It does not know “${word}” and will draw something else. `];
    const button = pressing(nearest, () => {
      const literal = word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
      const whole = new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "giu");
      this.text = this.text.replace(whole, () => nearest);
      this.#input.focus();
    });
    return [`It does not know “${word}”. Did you mean `, button, "? "];
  }
}

function pressing(text, pressed) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", pressed);
  return button;
}
