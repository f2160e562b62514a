/** What the page has to say: lines under the header that stay, and toasts that go. */

import { el, find, icon } from "./dom.js";

const TOAST_MILLISECONDS = 6000;

/**
 * Show a line that stays until it is hidden; the same `name` again replaces it.
 * `tone` is "info", "warning" or "error"; `actions` are [label, run]; `share` (0..1) draws a progress bar.
 */
export function notice(name, { tone = "info", title, text = "", code = "", actions = [], share = null }) {
  const line = el(
    "div",
    { class: `notice ${tone}`, data: { name }, role: tone === "error" ? "alert" : "status" },
    tone === "info" ? null : icon("warning"),
    el("p", {}, el("b", {}, title), text ? ` ${text}` : "", code ? " " : "", code ? el("code", {}, code) : ""),
    share === null ? null : el("progress", { max: 1, value: share, aria: { label: title } }),
    ...actions.map(([label, run]) => el("button", { type: "button", class: "button small", on: { click: run } }, label)),
  );
  const old = shown(name);
  if (old) old.replaceWith(line);
  else find("#notices").append(line);
}

export function hideNotice(name) {
  shown(name)?.remove();
}

export const shown = (name) => document.querySelector(`.notice[data-name="${name}"]`);

/** Say something that happened; `action` is [label, run], such as Undo. */
export function toast(text, action) {
  const line = el("div", { class: "toast" }, el("span", {}, text));
  const remove = () => line.remove();
  if (action) {
    const [label, run] = action;
    const click = () => {
      remove();
      run();
    };
    line.append(el("button", { type: "button", class: "link", on: { click } }, label));
  }
  find("#toasts").replaceChildren(line);
  setTimeout(remove, TOAST_MILLISECONDS);
}
