// Without a network: the service worker keeps the page, the package keeps the model.

export function keepOffline() {
  // A page without encryption has none; it works as long as there is a network.
  navigator.serviceWorker?.register(new URL("../service-worker.js", import.meta.url)).catch(() => {});
}

/** Shows a button where the browser lets the page be installed. */
export function offerInstall(button) {
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    button.hidden = false;
    button.onclick = async () => {
      await event.prompt();
      button.hidden = true;
    };
  });
}
