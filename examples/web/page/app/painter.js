// A brush over the picture: with a finger, a mouse, a pen or the keyboard.

export class Painter {
  #canvas;
  #brush;
  #context;
  #last = null;
  #cursor = null;
  #marks = null;

  constructor(canvas, brush) {
    this.#canvas = canvas;
    this.#brush = brush;
    this.#context = canvas.getContext("2d");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#cursor = null;
      this.#last = this.#place(event);
      this.#line(this.#last, this.#last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#last) return;
      const place = this.#place(event);
      this.#line(this.#last, place);
      this.#last = place;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => (this.#last = null));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#point(null));
  }

  /** Lays an empty mask over a picture. */
  begin({ width, height }) {
    Object.assign(this.#canvas, { width, height });
    this.#marks = new OffscreenCanvas(width, height);
    this.#cursor = null;
    this.#canvas.hidden = false;
    this.#canvas.focus();
  }

  end() {
    this.#canvas.hidden = true;
    this.#last = null;
  }

  clear() {
    this.begin(this.#canvas);
  }

  get isMarked() {
    return this.mask().data.some((value, place) => place % 4 === 3 && value > 127);
  }

  /** The marked pixels, as an `ImageData`. */
  mask() {
    const { width, height } = this.#marks;
    return this.#marks.getContext("2d").getImageData(0, 0, width, height);
  }

  /** Where an event is, in pixels of the picture. */
  #place({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    const x = ((clientX - box.left) / box.width) * this.#canvas.width;
    const y = ((clientY - box.top) / box.height) * this.#canvas.height;
    return { x, y };
  }

  #line(from, to) {
    const context = this.#marks.getContext("2d");
    context.lineCap = "round";
    context.lineWidth = Number(this.#brush.value) * 2;
    context.strokeStyle = "#000";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y + 0.01);
    context.stroke();
    this.#draw();
  }

  #key(event) {
    const { width, height } = this.#canvas;
    const step = event.shiftKey ? 8 : 2;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const cursor = this.#cursor ?? { x: width / 2, y: height / 2 };
    const inside = (value, size) => Math.min(Math.max(value, 0), size);
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      this.#point({ x: inside(cursor.x + x, width), y: inside(cursor.y + y, height) });
    } else if (event.key === " ") {
      this.#cursor = cursor;
      this.#line(cursor, cursor);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Shows where the keyboard's brush is. */
  #point(cursor) {
    this.#cursor = cursor;
    this.#draw();
  }

  #draw() {
    if (!this.#marks) return;
    const { width, height } = this.#canvas;
    const context = this.#context;
    context.clearRect(0, 0, width, height);
    context.drawImage(this.#marks, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = getComputedStyle(this.#canvas).getPropertyValue("--mark");
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "source-over";
    if (!this.#cursor) return;
    context.strokeStyle = "#888";
    context.beginPath();
    context.arc(this.#cursor.x, this.#cursor.y, Number(this.#brush.value), 0, 2 * Math.PI);
    context.stroke();
  }
}
