/** The export dialog: a format, its options, and a file to save. */

import * as api from "./api.js";
import { el, icon, iconButton } from "./dom.js";
import { counted } from "./format.js";
import * as kept from "./kept.js";
import { toast } from "./notices.js";

export class ExportDialog {
  constructor(dialog, { onError }) {
    this.dialog = dialog;
    this.onError = onError;
    dialog.addEventListener("close", () => this.request?.abort());
  }

  /** Ask for a format and export these moments of the basket. */
  async open(items) {
    try {
      this.formats ??= await api.exportFormats();
    } catch (error) {
      return this.onError(error);
    }
    this.items = items;
    this.#draw(kept.read("export", {}, { everywhere: true }));
    this.dialog.showModal();
    return undefined;
  }

  #draw({ format = this.formats[0].name, pad = "0", exact = false }) {
    const chosen = this.formats.some(({ name }) => name === format) ? format : this.formats[0].name;
    this.error = el("p", { class: "form-error", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", class: "button primary" }, icon("export"), "Export");
    this.form = el(
      "form",
      { class: "dialog-body", on: { submit: (event) => this.#send(event), change: () => this.#showOptions() } },
      el("header", { class: "dialog-head" }, el("h2", { id: "export-title" }, `Export ${counted(this.items.length, "moment")}`), iconButton("close", "Close", () => this.dialog.close())),
      el("fieldset", { class: "formats" }, el("legend", {}, "Format"), ...this.formats.map((one) => formatChoice(one, one.name === chosen))),
      this.#options(pad, exact),
      this.error,
      el("footer", { class: "dialog-foot" }, el("button", { type: "button", class: "button quiet", on: { click: () => this.dialog.close() } }, "Cancel"), this.submit),
    );
    this.dialog.replaceChildren(this.form);
    this.#showOptions();
  }

  #options(pad, exact) {
    return el(
      "div",
      { class: "export-options" },
      el("label", { class: "field" }, "Name", el("input", { type: "text", name: "title", value: "moments", required: true, maxLength: 100 })),
      el("label", { class: "field", data: { option: "pad_seconds" } }, "Handles, seconds before and after", el("input", { type: "number", name: "pad", value: pad, min: 0, max: 60, step: "any", required: true })),
      el("label", { class: "check", data: { option: "exact" } }, el("input", { type: "checkbox", name: "exact", checked: exact }), el("span", {}, "Cut exactly: encode anew. Otherwise clips are copied and begin at a keyframe.")),
    );
  }

  #showOptions() {
    const { options } = this.#formatCalled(new FormData(this.form).get("format"));
    for (const field of this.form.querySelectorAll("[data-option]")) field.hidden = !options.includes(field.dataset.option);
  }

  #formatCalled(name) {
    return this.formats.find((one) => one.name === name);
  }

  async #send(event) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(this.form));
    const chosen = { format: given.format, pad: given.pad, exact: Boolean(given.exact) };
    kept.write("export", chosen, { everywhere: true });
    this.#wait(true);
    this.request = new AbortController();
    try {
      save(await api.exportMoments(bodyOf(this.items, chosen, this.#formatCalled(chosen.format).options, given.title), this.request.signal));
      this.dialog.close();
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    } finally {
      this.#wait(false);
    }
  }

  #wait(isWaiting) {
    this.error.hidden = true;
    this.submit.disabled = isWaiting;
    this.submit.replaceChildren(icon("export"), isWaiting ? "Exporting…" : "Export");
  }

  #fail(error) {
    this.error.textContent = [error.message, error.hint].filter(Boolean).join(". ");
    this.error.hidden = false;
  }
}

function bodyOf(items, { format, pad, exact }, taken, name) {
  const moments = items.map((item) => ({
    video_id: item.video_id,
    start_seconds: item.start_seconds,
    end_seconds: item.end_seconds,
    query: item.query,
    score: item.score,
    note: item.note,
  }));
  const options = Object.entries({ pad_seconds: Number(pad), exact }).filter(([option]) => taken.includes(option));
  return { format, name, moments, options: Object.fromEntries(options) };
}

function formatChoice({ name, label, suffix, what }, checked) {
  return el(
    "label",
    { class: "format" },
    el("input", { type: "radio", name: "format", value: name, checked }),
    el("span", { class: "format-name" }, label || name, suffix ? el("small", {}, suffix) : null),
    el("span", { class: "format-what" }, what),
  );
}

/** Hand a file to the browser's downloads. */
function save({ blob, name, failed }) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  toast(failed ? `Exported ${name}; ${counted(failed, "moment")} could not be exported` : `Exported ${name}`);
}
