// Pictures that leave the page, as PNG files with their settings.

function file({ png, prompt, seed }) {
  const words = prompt.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
  const name = `${words.slice(0, 60).replace(/^-+|-+$/g, "") || "picture"}-${seed}.png`;
  return new File([png], name, { type: "image/png" });
}

export function download(picture) {
  const saved = file(picture);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(saved);
  link.download = saved.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Whether the system has something to share a picture with. */
export function canShare(picture) {
  return navigator.canShare?.({ files: [file(picture)] }) ?? false;
}

export async function share(picture) {
  try {
    await navigator.share({ files: [file(picture)], title: picture.prompt });
  } catch (error) {
    // Who changed their mind has nothing to be told.
    if (error.name !== "AbortError") throw error;
  }
}
