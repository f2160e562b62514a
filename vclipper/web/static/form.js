/** The search box: words, pictures as chips, one moment to find more like; pictures come by drop, paste or choice. */

import { thumbnail } from "./api.js";
import { el, find, iconButton } from "./dom.js";
import { timecode } from "./format.js";
import { copyOf, upload } from "./pictures.js";

export class SearchForm {
  /** @param listeners onSearch(), onSave(), onError(error) */
  constructor(listeners) {
    this.listeners = listeners;
    this.form = find("#search");
    this.input = find("#query");
    this.chips = find("#chips");
    this.error = find("#query-error");
    this.star = find("#save-search");
    this.pictures = [];
    this.like = null;
    this.#listen();
    this.#listenToPictures();
  }

  /** What the box holds. */
  value() {
    return { text: this.input.value.trim(), pictures: this.pictures, like: this.like };
  }

  /** Show a search. */
  show({ text, pictures, like }) {
    this.input.value = text;
    this.pictures = pictures;
    this.like = like;
    this.showError(null);
    this.#drawChips();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  /** Say what is wrong with the query, below it. */
  showError(error) {
    this.error.hidden = !error;
    this.error.textContent = error ? [error.message, error.hint].filter(Boolean).join(". ") : "";
    this.markWrong(Boolean(error));
  }

  /** Tell screen readers whether the query is at fault. */
  markWrong(isWrong) {
    this.input.setAttribute("aria-invalid", String(isWrong));
  }

  showSaved(isSaved) {
    const label = isSaved ? "Forget this saved search" : "Save this search";
    this.star.setAttribute("aria-pressed", String(isSaved));
    this.star.setAttribute("aria-label", label);
    this.star.title = label;
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.listeners.onSearch();
    });
    this.input.addEventListener("input", () => {
      if (this.like && this.input.value.trim()) this.like = null; // words take the place of a moment
      this.#drawChips();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Backspace" && !this.input.value) this.#removeLast();
      if (event.key === "Escape") this.input.blur();
    });
    this.star.addEventListener("click", () => this.listeners.onSave());
    find("#clear-query").addEventListener("click", () => {
      this.show({ text: "", pictures: [], like: null });
      this.input.focus();
    });
  }

  // ---- chips

  #drawChips() {
    const chips = this.pictures.map((picture) => this.#pictureChip(picture));
    if (this.like) chips.push(this.#likeChip());
    this.chips.replaceChildren(...chips);
    find("#clear-query").hidden = !this.input.value && !chips.length;
    this.input.placeholder = this.like ? "More like this moment" : chips.length ? "and words, if you like" : "What is to be seen?";
  }

  #pictureChip(picture) {
    const isAvoided = picture.sign === "-";
    const label = isAvoided ? "Avoided: what this picture shows. Look for it" : "Looked for: what this picture shows. Avoid it";
    const flip = el("button", { type: "button", class: "chip-sign", title: label, aria: { label }, on: { click: () => this.#flip(picture) } }, isAvoided ? "−" : "+");
    const copy = copyOf(picture.id);
    return el(
      "span",
      { class: `chip${isAvoided ? " avoided" : ""}` },
      flip,
      copy ? el("img", { src: copy, alt: "A picture to search by" }) : el("span", {}, "picture"),
      iconButton("close", "Remove the picture", () => this.#remove(picture)),
    );
  }

  #likeChip() {
    const { video_id: id, seconds, name } = this.like;
    const words = `like ${name ? `${name} ` : ""}${timecode(seconds)}`;
    const drop = () => {
      this.like = null;
      this.#drawChips();
      this.input.focus();
    };
    return el("span", { class: "chip" }, el("img", { src: thumbnail(id, seconds), alt: "" }), el("span", { class: "chip-words" }, words), iconButton("close", "Remove", drop));
  }

  #flip(picture) {
    this.pictures = this.pictures.map((one) => (one === picture ? { ...one, sign: one.sign === "-" ? "+" : "-" } : one));
    this.#drawChips();
    this.listeners.onSearch();
  }

  #remove(picture) {
    this.pictures = this.pictures.filter((one) => one !== picture);
    this.#drawChips();
    this.input.focus();
  }

  #removeLast() {
    if (this.like) this.like = null;
    else this.pictures = this.pictures.slice(0, -1);
    this.#drawChips();
  }

  // ---- pictures

  #listenToPictures() {
    const file = find("#picture-file");
    find("#pick-picture").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      this.addPictures(file.files);
      file.value = "";
    });
    document.addEventListener("paste", (event) => this.#paste(event));
    this.#listenToDrops();
  }

  #paste(event) {
    const files = picturesIn(event.clipboardData?.files);
    if (!files.length) return;
    event.preventDefault();
    this.addPictures(files);
  }

  #listenToDrops() {
    const veil = find("#drop-veil");
    const hasFile = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      veil.hidden = false;
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) veil.hidden = true;
    });
    document.addEventListener("drop", (event) => {
      veil.hidden = true;
      if (!hasFile(event)) return;
      event.preventDefault();
      this.addPictures(event.dataTransfer.files);
    });
  }

  /** Send pictures, put them into the box, and search. */
  async addPictures(files) {
    const chosen = picturesIn(files);
    if (!chosen.length) {
      if (files.length) this.showError({ message: "That is not a picture", hint: "Use JPEG, PNG or WebP" });
      return;
    }
    this.form.setAttribute("aria-busy", "true");
    try {
      for (const file of chosen) this.pictures = [...this.pictures, { sign: "+", id: await upload(file) }];
      this.like = null;
      this.#drawChips();
      this.listeners.onSearch();
    } catch (error) {
      this.listeners.onError(error);
    } finally {
      this.form.removeAttribute("aria-busy");
    }
  }
}

const picturesIn = (files) => [...(files ?? [])].filter((file) => file.type.startsWith("image/"));
