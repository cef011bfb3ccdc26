// Pictures that are compared with the native program's: prompt and seed. The script has made those in the folder
// HART_NATIVE, in this order.

export const cases = [
  ["a cat", 0],
  ["a red heart, flat style", 7],
  ["draw me a fox", 1],
  ["3d penguin", 2],
  ["rocket on black", 3],
  ["smiley with sunglasses", 4],
  ["a large red circle above a small blue square on a yellow background", 5],
  ["sunflower", 12345],
  ["burger, pink background", 999999999],
  ["a zebra with a floozle", 9007199254740993n],
];
