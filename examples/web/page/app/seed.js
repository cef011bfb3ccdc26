// The seed: another one for every picture, unless it is locked.

/** Seeds that people can read out: nine digits at most. */
const SEEDS = 1_000_000_000;

export class Seed {
  #input;
  #lock;

  constructor(input, dice, lock) {
    this.#input = input;
    this.#lock = lock;
    this.draw();
    dice.addEventListener("click", () => this.draw());
    lock.addEventListener("click", () => this.#hold(!this.isLocked));
    // Who types a seed wants that one.
    input.addEventListener("input", () => this.#hold(true));
  }

  get isLocked() {
    return this.#lock.getAttribute("aria-pressed") === "true";
  }

  /** The seed of the next picture. */
  next() {
    return this.isLocked ? this.#value() : this.draw();
  }

  /** Draws another seed and shows it. */
  draw() {
    const [value] = crypto.getRandomValues(new Uint32Array(1));
    this.#input.value = value % SEEDS;
    return this.#value();
  }

  #value() {
    const digits = this.#input.value.replace(/\D/g, "") || "0";
    this.#input.value = digits;
    return BigInt(digits);
  }

  #hold(locked) {
    this.#lock.setAttribute("aria-pressed", String(locked));
    this.#lock.querySelector("use").setAttribute("href", locked ? "#icon-closed" : "#icon-open");
  }
}
