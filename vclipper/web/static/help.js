/** The help dialog: the query language and the keys. */

import { el, iconButton } from "./dom.js";

const GRAMMAR = [
  ["man in yellow blanket", "plain words: what can be seen"],
  ['"a dog" + "snow"', "both at once; quotes hold words together"],
  ['"a beach" - "people"', "the one without the other"],
  ['"a dog" - 0.5:"snow"', "a weight makes a part count more or less"],
  ['"a dog" then "a cat" within 30 s', "one after the other in the same video"],
  ["a picture", "drop, paste or choose one; with words beside it both count. Click its sign to avoid what it shows"],
];

const KEYS = [
  ["Find", [["/", "to the search box"], ["← → ↑ ↓", "from moment to moment"], ["Enter", "open and play"], ["n p", "next, previous moment"], ["Esc", "close what is open"]]],
  ["Play", [["Space", "play, pause"], ["j k l", "back a second, pause, play (again: faster)"], [", .", "one frame back, on"], ["[ ]", "to the start, to the end of the moment"], ["r", "loop on, off"], ["s", "sound on, off"], ["f", "full screen"]]],
  ["Cut", [["i o", "start, end of the moment at the playhead"], ["← →", "on a handle: by one frame; with Shift by a second"], ["+ − 0 z", "zoom in, out, whole video, moment"], ["b", "keep in the basket, take out"], ["Shift+B", "open the basket"], ["m", "more like the frame at the playhead"]]],
];

/** Fill and show the dialog; `onExample` takes a query that was clicked. */
export function openHelp(dialog, onExample) {
  const tryIt = (text) => () => {
    dialog.close();
    onExample(text);
  };
  const example = (text) => (text === "a picture" ? el("span", {}, text) : el("button", { type: "button", class: "example", on: { click: tryIt(text) } }, text));
  dialog.replaceChildren(
    el("header", { class: "dialog-head" }, el("h2", { id: "help-title" }, "Help"), iconButton("close", "Close", () => dialog.close())),
    el(
      "div",
      { class: "dialog-body" },
      el("h3", {}, "What a search can say"),
      el("dl", { class: "grammar" }, ...GRAMMAR.flatMap(([query, what]) => [el("dt", {}, example(query)), el("dd", {}, what)])),
      el("h3", {}, "Keys"),
      el("div", { class: "key-groups" }, ...KEYS.map(([title, keys]) => keyGroup(title, keys))),
      el("p", { class: "hint" }, "Programs use the same server: ", el("a", { href: "/api/v1/docs" }, "the API")),
    ),
  );
  dialog.showModal();
}

function keyGroup(title, keys) {
  const row = ([key, what]) => [el("dt", {}, ...key.split(" ").map((one) => el("kbd", {}, one))), el("dd", {}, what)];
  return el("section", {}, el("h4", {}, title), el("dl", { class: "keys" }, ...keys.flatMap(row)));
}
