/** The row under the search box: folder, length, date, settings and saved searches, each in a small panel. */

import { el, find, icon, iconButton } from "./dom.js";
import { duration as lengthOf, parseTime, timecode } from "./format.js";
import * as kept from "./kept.js";
import { forget, keepForGood } from "./pictures.js";
import { describe, toParameters } from "./query.js";

export class Filters {
  /** @param listeners onChange() when filters or settings are other ones, onSaved(search) when a saved one is wanted */
  constructor(root, listeners) {
    this.root = root;
    this.listeners = listeners;
    this.filters = {};
    this.settings = {};
    this.knobs = [];
    this.folders = [];
    this.saved = [];
    this.panels = {
      folder: this.#panel("folder", "Folder"),
      length: this.#panel("clock", "Length"),
      date: this.#panel("date", "Date"),
      settings: this.#panel("settings", "Settings"),
      saved: this.#panel("star", "Saved"),
    };
    root.append(...Object.values(this.panels).map(({ details }) => details));
    this.#closeFromOutside();
  }

  /** What the library offers. */
  setLibrary(library, knobs) {
    this.folders = library.folders;
    this.knobs = knobs;
    this.saved = kept.read("saved", []);
    kept.onChangeElsewhere("saved", () => {
      this.saved = kept.read("saved", []);
      this.#fillSaved();
    });
    this.#fill();
  }

  /** Show a search's filters and settings. */
  show({ filters, settings }) {
    this.filters = { ...filters };
    this.settings = { ...settings };
    this.#fill();
  }

  isSaved(search) {
    const wanted = toParameters(search).toString();
    return this.saved.some((one) => one.parameters === wanted);
  }

  /** Save a search, or forget it when it was saved; whether it is saved now. */
  toggleSaved(search) {
    const parameters = toParameters(search).toString();
    const wasSaved = this.isSaved(search);
    const pictures = search.pictures.map(({ id }) => id);
    if (wasSaved) this.#forget(parameters);
    else this.saved = [{ name: describe(search), parameters, pictures }, ...this.saved];
    if (!wasSaved) keepForGood(pictures);
    this.#keepSaved();
    return !wasSaved;
  }

  #forget(parameters) {
    forget(this.saved.find((one) => one.parameters === parameters)?.pictures ?? []);
    this.saved = this.saved.filter((one) => one.parameters !== parameters);
  }

  #keepSaved() {
    kept.write("saved", this.saved);
    this.#fillSaved();
  }

  // ---- panels

  #panel(sign, name) {
    const value = el("span", { class: "drop-value" });
    const body = el("div", { class: "drop-body" });
    const summary = el("summary", { class: "drop-name" }, icon(sign), el("span", {}, name), value, icon("down"));
    const details = el("details", { class: "drop", name: "filters" }, summary, body);
    return { details, summary, value, body };
  }

  #closeFromOutside() {
    const open = () => this.root.querySelector("details[open]");
    document.addEventListener("pointerdown", (event) => {
      const panel = open();
      if (panel && !panel.contains(event.target)) panel.open = false;
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !open()) return;
      event.stopPropagation();
      const panel = open();
      panel.open = false;
      find("summary", panel).focus();
    });
  }

  #fill() {
    this.#fillFolder();
    this.#fillLength();
    this.#fillDate();
    this.#fillSettings();
    this.#fillSaved();
  }

  #setFilters(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") delete this.filters[name];
      else this.filters[name] = value;
    }
    this.listeners.onChange();
    this.#tellValues();
  }

  /** What is set, beside each panel's name. */
  #tellValues() {
    const { folder, min_seconds: least, max_seconds: most, after, before } = this.filters;
    tell(this.panels.folder, folder ? lastPart(folder) : "");
    tell(this.panels.length, range(least && lengthOf(least), most && lengthOf(most)));
    tell(this.panels.date, range(after, before));
    const changed = Object.keys(this.settings).length;
    tell(this.panels.settings, changed ? String(changed) : "");
    tell(this.panels.saved, this.saved.length ? String(this.saved.length) : "", false);
  }

  #fillFolder() {
    const choices = el("datalist", { id: "folders" }, ...this.folders.map((folder) => el("option", { value: folder })));
    const change = (event) => this.#setFilters({ folder: event.target.value.trim() });
    const input = el("input", { type: "text", list: "folders", placeholder: "all folders", value: this.filters.folder ?? "", on: { change } });
    this.panels.folder.body.replaceChildren(
      el("label", { class: "field" }, "Only videos in", input),
      choices,
      el("p", { class: "hint" }, "A folder, or a pattern such as ", el("code", {}, "holiday/*")),
    );
  }

  #fillLength() {
    const input = (name) =>
      el("input", {
        type: "text",
        inputMode: "decimal",
        placeholder: "any",
        value: this.filters[name] ? timecode(this.filters[name], 0) : "",
        on: { change: (event) => this.#setFilters({ [name]: parseTime(event.target.value || "x") }) },
      });
    this.panels.length.body.replaceChildren(
      el("label", { class: "field" }, "Videos of at least", input("min_seconds")),
      el("label", { class: "field" }, "and at most", input("max_seconds")),
      el("p", { class: "hint" }, "Seconds, M:SS or H:MM:SS"),
    );
  }

  #fillDate() {
    const input = (name) => el("input", { type: "date", value: this.filters[name] ?? "", on: { change: (event) => this.#setFilters({ [name]: event.target.value }) } });
    this.panels.date.body.replaceChildren(
      el("label", { class: "field" }, "Recorded on or after", input("after")),
      el("label", { class: "field" }, "and before", input("before")),
    );
  }

  #fillSettings() {
    const reset = el("button", { type: "button", class: "button small", on: { click: () => this.#resetSettings() } }, "Reset all");
    this.panels.settings.body.replaceChildren(el("div", { class: "knobs" }, ...this.knobs.map((knob) => this.#knob(knob))), reset);
    this.#tellValues();
  }

  #knob(knob) {
    const help = `knob-${knob.name}`;
    const name = knob.name.replaceAll("_", " ");
    const input = this.#knobInput(knob);
    input.setAttribute("aria-describedby", help);
    const label = el("label", { class: "knob" }, el("span", { class: "knob-name" }, name, knob.symbol ? el("i", {}, ` ${knob.symbol}`) : null), input);
    return el("div", {}, label, el("p", { class: "hint", id: help }, `${knob.help}${boundsOf(knob)}`));
  }

  #knobInput(knob) {
    const value = this.settings[knob.name] ?? knob.default;
    const change = (read) => (event) => this.#setKnob(knob, read(event.target));
    if (knob.choices.length) {
      const options = knob.choices.map((choice) => el("option", { value: choice, selected: choice === value }, choice));
      return el("select", { on: { change: change((input) => input.value) } }, ...options);
    }
    if (knob.kind === "bool") return el("input", { type: "checkbox", checked: value, on: { change: change((input) => input.checked) } });
    const step = knob.name === "smooth_window" ? "2" : knob.kind === "int" ? "1" : "any";
    return el("input", {
      type: "number",
      step,
      min: knob.low ?? "",
      max: knob.high ?? "",
      value: value ?? "",
      placeholder: "automatic",
      on: { change: change((input) => (input.value === "" ? null : Number(input.value))) },
    });
  }

  #setKnob(knob, value) {
    if (value === null || value === knob.default) delete this.settings[knob.name];
    else this.settings[knob.name] = value;
    this.#tellValues();
    this.listeners.onChange();
  }

  #resetSettings() {
    this.settings = {};
    this.#fillSettings();
    this.listeners.onChange();
  }

  #fillSaved() {
    const one = ({ name, parameters }) => {
      const open = el("a", { href: `?${parameters}`, on: { click: (event) => this.#openSaved(event, parameters) } }, name);
      const drop = iconButton("bin", `Forget “${name}”`, () => {
        this.#forget(parameters);
        this.#keepSaved();
      });
      return el("li", {}, open, drop);
    };
    const empty = el("p", { class: "hint" }, "None yet. The star in the search box saves a search.");
    this.panels.saved.body.replaceChildren(this.saved.length ? el("ul", { class: "saved" }, ...this.saved.map(one)) : empty);
    this.#tellValues();
  }

  #openSaved(event, parameters) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab
    event.preventDefault();
    this.panels.saved.details.open = false;
    this.listeners.onSaved(new URLSearchParams(parameters));
  }
}

function tell({ details, value }, text, marks = true) {
  value.textContent = text;
  details.classList.toggle("set", marks && Boolean(text));
}

const lastPart = (folder) => folder.split("/").filter(Boolean).at(-1) ?? folder;

function range(low, high) {
  if (low && high) return `${low} – ${high}`;
  if (low) return `≥ ${low}`;
  return high ? `< ${high}` : "";
}

function boundsOf({ low, high, kind }) {
  if (low === null || high === null || kind === "bool") return "";
  return Math.abs(low) >= 1000 ? "" : ` (${low} to ${high})`;
}
