/** What the browser keeps: values in localStorage, under the library's name where they belong to it. */

const PREFIX = "vclipper";
let libraryName = "";

/** Basket and saved searches belong to one library; another one on the same port has its own. */
export function useLibrary(name) {
  libraryName = name;
}

export function read(key, fallback, { everywhere = false } = {}) {
  try {
    return JSON.parse(localStorage.getItem(fullName(key, everywhere))) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keep a value; false when the browser refuses (private windows, a full store). */
export function write(key, value, { everywhere = false } = {}) {
  try {
    localStorage.setItem(fullName(key, everywhere), JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Call `listen` when another tab of this browser changes the value. */
export function onChangeElsewhere(key, listen) {
  addEventListener("storage", (event) => {
    if (event.key === fullName(key, false)) listen();
  });
}

const fullName = (key, everywhere) => (everywhere ? `${PREFIX}:${key}` : `${PREFIX}:${libraryName}:${key}`);
