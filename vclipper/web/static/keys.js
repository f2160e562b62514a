/** Single keys as commands, wherever nobody is writing. */

import { isTyping } from "./dom.js";

/** `commands` is key → run(event); a command that returns false leaves the key to the browser. */
export function listenToKeys(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target) && event.key !== "Escape") return;
    if (isOwnKey(event)) return;
    const command = commands[event.key];
    if (command && command(event) !== false) event.preventDefault();
  });
}

/** Space and Enter belong to the control that has the focus; a moment's card leaves Space to the player. */
function isOwnKey({ key, target }) {
  if (key !== " " && key !== "Enter") return false;
  if (!(target instanceof HTMLElement)) return false;
  if (key === " " && target.matches(".card-open, .handle")) return false;
  return target.matches("button, a, summary, [role=slider], input, select");
}
