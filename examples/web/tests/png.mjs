// Just enough of PNG to compare pictures of ours: 8 bits, three channels, not interlaced.

import { inflateSync } from "node:zlib";

/** The pixels of a PNG file, three bytes each, and its texts by their keywords. */
export function decode(bytes) {
  const file = Buffer.from(bytes);
  const data = [];
  const texts = {};
  let width = 0;
  for (let place = 8; place < file.length; ) {
    const length = file.readUInt32BE(place);
    const kind = file.toString("latin1", place + 4, place + 8);
    const content = file.subarray(place + 8, place + 8 + length);
    if (kind === "IHDR") width = content.readUInt32BE(0);
    if (kind === "IDAT") data.push(content);
    if (kind === "iTXt") {
      // Keyword and text lie between the first NUL and the last.
      texts[content.toString("utf8", 0, content.indexOf(0))] = content.toString("utf8", content.lastIndexOf(0) + 1);
    }
    place += 12 + length;
  }
  return { width, texts, pixels: unfiltered(inflateSync(Buffer.concat(data)), 3 * width) };
}

function unfiltered(rows, step) {
  const height = rows.length / (step + 1);
  const pixels = new Uint8Array(height * step);
  for (let row = 0; row < height; row++) {
    const filter = rows[row * (step + 1)];
    for (let column = 0; column < step; column++) {
      const place = row * step + column;
      const left = column < 3 ? 0 : pixels[place - 3];
      const above = row ? pixels[place - step] : 0;
      const corner = row && column >= 3 ? pixels[place - step - 3] : 0;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
      pixels[place] = rows[row * (step + 1) + 1 + column] + guess;
    }
  }
  return pixels;
}

function paeth(left, above, corner) {
  const [a, b, c] = [left, above, corner].map((value) => Math.abs(left + above - corner - value));
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}
