/** The basket: moments that were kept, with notes, in an order of their own. It lives in the browser. */

import * as api from "./api.js";
import { el, find, icon, iconButton } from "./dom.js";
import { counted, duration as lengthOf, timecode } from "./format.js";
import * as kept from "./kept.js";
import { toast } from "./notices.js";
import { keyOf, still } from "./results.js";

const KEY = "basket";
const UNDO_STEPS = 50;

export class Basket {
  /** @param listeners onOpen(item), onExport(items), onChange() */
  constructor(root, listeners) {
    this.root = root;
    this.listeners = listeners;
    this.items = [];
    this.past = [];
    this.button = find("#open-basket");
    this.button.addEventListener("click", () => this.toggle());
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Read what the browser kept, once the library is known. */
  load() {
    this.items = kept.read(KEY, []);
    kept.onChangeElsewhere(KEY, () => {
      this.items = kept.read(KEY, []);
      this.#draw();
    });
    this.#draw();
  }

  has(moment) {
    return this.items.some((item) => item.id === keyOf(moment));
  }

  /** Put a moment in, or take it out when it is in. */
  toggleMoment(moment, video, query) {
    if (this.has(moment)) this.remove(keyOf(moment));
    else this.#add(moment, video, query);
  }

  #add(moment, video, query) {
    const item = {
      id: keyOf(moment),
      video_id: video.video_id,
      name: video.name,
      path: video.path,
      frame_rate: video.frame_rate,
      start_seconds: moment.start_seconds,
      end_seconds: moment.end_seconds,
      score: moment.score ?? null,
      query,
      note: "",
    };
    this.#change([...this.items, item]);
    toast(`Kept ${timecode(item.start_seconds)} – ${timecode(item.end_seconds)} of ${item.name}`, ["Undo", () => this.undo()]);
  }

  remove(id) {
    const { name } = this.items.find((item) => item.id === id);
    this.#change(this.items.filter((item) => item.id !== id));
    toast(`Took a moment of ${name} out of the basket`, ["Undo", () => this.undo()]);
  }

  clear() {
    const count = this.items.length;
    this.#change([]);
    toast(`Took ${counted(count, "moment")} out of the basket`, ["Undo", () => this.undo()]);
  }

  move(id, places) {
    const from = this.items.findIndex((item) => item.id === id);
    const to = from + places;
    if (to < 0 || to >= this.items.length) return;
    const items = [...this.items];
    items.splice(to, 0, ...items.splice(from, 1));
    this.#change(items);
    find(`[data-id="${CSS.escape(id)}"] .basket-open`, this.root).focus();
  }

  #note(id, note) {
    this.#change(this.items.map((item) => (item.id === id ? { ...item, note } : item)), { redraw: false });
  }

  undo() {
    if (!this.past.length) return;
    this.items = this.past.pop();
    this.#kept();
    this.#draw();
  }

  #change(items, { redraw = true } = {}) {
    this.past = [...this.past, this.items].slice(-UNDO_STEPS);
    this.items = items;
    this.#kept();
    if (redraw) this.#draw();
    else this.#drawUndo();
  }

  #kept() {
    if (!kept.write(KEY, this.items)) toast("The browser refuses to keep the basket: export it before you leave");
  }

  // ---- the panel

  get isOpen() {
    return !this.root.hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    this.root.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    document.body.classList.add("with-basket");
    this.#draw();
    this.root.focus({ preventScroll: true });
  }

  close() {
    if (!this.isOpen) return;
    this.root.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    document.body.classList.remove("with-basket");
    this.button.focus({ preventScroll: true });
  }

  #key(event) {
    const id = event.target.closest("[data-id]")?.dataset.id;
    const places = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") this.close();
    else if (id && places && event.altKey) this.move(id, places);
    else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && event.target.tagName !== "INPUT") this.undo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #draw() {
    const { length } = this.items;
    const count = find("#basket-count");
    count.hidden = length === 0;
    count.textContent = String(length);
    this.button.setAttribute("aria-label", length ? `Basket, ${counted(length, "moment")}` : "Basket");
    this.listeners.onChange();
    if (this.isOpen) this.root.replaceChildren(this.#head(), length ? this.#list() : this.#empty(), ...(length ? [this.#foot()] : []));
  }

  #drawUndo() {
    const undo = this.root.querySelector(".basket-undo");
    if (undo) undo.disabled = this.past.length === 0;
  }

  #head() {
    const seconds = this.items.reduce((sum, item) => sum + item.end_seconds - item.start_seconds, 0);
    const facts = this.items.length ? `${counted(this.items.length, "moment")}, ${lengthOf(seconds)}` : "";
    return el(
      "header",
      { class: "basket-head" },
      el("h2", {}, "Basket"),
      el("p", {}, facts),
      el("span", { class: "gap" }),
      iconButton("undo", "Undo (Ctrl+Z)", () => this.undo(), { class: "basket-undo", disabled: this.past.length === 0 }),
      iconButton("close", "Close the basket (Esc)", () => this.close()),
    );
  }

  #empty() {
    return el(
      "div",
      { class: "message small" },
      icon("basket"),
      el("p", {}, "Keep a moment with the ribbon on its picture, or with ", el("kbd", {}, "b"), ". It stays here, in this browser, until you take it out."),
    );
  }

  #list() {
    return el("ol", { class: "basket-list" }, ...this.items.map((item, place) => this.#row(item, place)));
  }

  #row(item, place) {
    const times = `${timecode(item.start_seconds)} – ${timecode(item.end_seconds)}`;
    const middle = (item.start_seconds + item.end_seconds) / 2;
    const open = el(
      "button",
      { type: "button", class: "basket-open", aria: { label: `Open ${item.name}, ${times}` }, on: { click: () => this.listeners.onOpen(item) } },
      still(api.thumbnail(item.video_id, middle)),
    );
    const note = el("input", { type: "text", class: "note", value: item.note, placeholder: "Note", maxLength: 500, aria: { label: `Note on ${item.name}, ${times}` } });
    note.addEventListener("change", () => this.#note(item.id, note.value));
    const words = el("div", { class: "basket-words" }, el("p", { class: "basket-name", title: item.path }, item.name), el("p", { class: "basket-times" }, times, el("span", {}, lengthOf(item.end_seconds - item.start_seconds))), item.query ? el("p", { class: "basket-query" }, item.query) : null);
    return el("li", { class: "basket-item", data: { id: item.id } }, open, words, this.#rowTools(item, place), note);
  }

  #rowTools(item, place) {
    return el(
      "div",
      { class: "basket-tools" },
      iconButton("up", "Move up (Alt+↑)", () => this.move(item.id, -1), { disabled: place === 0 }),
      iconButton("down", "Move down (Alt+↓)", () => this.move(item.id, 1), { disabled: place === this.items.length - 1 }),
      iconButton("bin", "Take out", () => this.remove(item.id)),
    );
  }

  #foot() {
    const exporting = el("button", { type: "button", class: "button primary", on: { click: () => this.listeners.onExport(this.items) } }, icon("export"), "Export…");
    const clearing = el("button", { type: "button", class: "button quiet", on: { click: () => this.clear() } }, "Take all out");
    return el("footer", { class: "basket-foot" }, clearing, el("span", { class: "gap" }), exporting);
  }
}
