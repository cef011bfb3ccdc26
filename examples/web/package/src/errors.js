// What can go wrong.

/** Something that was not possible; `name` says whose mistake it is, the message what to do. */
export class HartError extends Error {
  constructor(name, message, options) {
    super(message, options);
    this.name = name;
  }
}

/** What a signal was aborted with. */
export function aborted(signal) {
  return signal?.reason ?? new DOMException("cancelled", "AbortError");
}
