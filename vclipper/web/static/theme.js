// Runs before the first paint, so that a chosen theme never flashes: the page's only script that is not a module.
(() => {
  let chosen = null;
  try {
    chosen = JSON.parse(localStorage.getItem("vclipper:theme"));
  } catch {
    // No storage: the system's theme.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
