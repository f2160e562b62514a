/** Adding videos: the form, and the line that follows an index run. */

import * as api from "./api.js";
import { el, iconButton } from "./dom.js";
import { counted, duration as lengthOf } from "./format.js";
import { hideNotice, notice, toast } from "./notices.js";

const NAME = "indexing";
const BUSY_MILLISECONDS = 1000;
const FAILURES_SHOWN = 3;
const RUNNING = ["running", "cancelling"];

export class Indexing {
  /** @param listeners onDone(state) when a run that was seen running has ended, onError(error) */
  constructor(dialog, listeners) {
    this.dialog = dialog;
    this.listeners = listeners;
    this.isRunning = false;
  }

  /** Look whether a run is under way, from this page or another one, and follow it. */
  async follow() {
    clearTimeout(this.timer);
    try {
      this.#show(await api.indexRun());
    } catch (error) {
      this.listeners.onError(error);
    }
  }

  /** The form in a dialog. */
  open() {
    const head = el("header", { class: "dialog-head" }, el("h2", { id: "index-title" }, "Add videos"), iconButton("close", "Close", () => this.dialog.close()));
    this.dialog.replaceChildren(head, this.form(() => this.dialog.close()));
    this.dialog.showModal();
  }

  /** A form that starts a run: paths on the machine that serves this page, one a line. */
  form(onStarted = () => {}) {
    const paths = el("textarea", { rows: 3, required: true, spellcheck: false, placeholder: "/home/me/Videos", aria: { label: "Folders or files, one a line" } });
    const error = el("p", { class: "form-error", role: "alert", hidden: true });
    const submit = async (event) => {
      event.preventDefault();
      const given = paths.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (given.length && (await this.#start(given, error))) onStarted();
    };
    return el(
      "form",
      { class: "dialog-body index-form", on: { submit } },
      el("label", { class: "field" }, "Folders or files on this computer, one a line", paths),
      el("p", { class: "hint" }, "Only what is new or changed is looked at. You can search meanwhile. In a terminal: ", el("code", {}, "vclip index ~/Videos")),
      error,
      el("footer", { class: "dialog-foot" }, el("button", { type: "submit", class: "button primary" }, "Index")),
    );
  }

  async #start(paths, error) {
    try {
      await api.startIndex(paths);
    } catch (problem) {
      error.textContent = [problem.message, problem.hint].filter(Boolean).join(". ");
      error.hidden = false;
      return false;
    }
    this.isRunning = true;
    await this.follow();
    return true;
  }

  #show(run) {
    if (RUNNING.includes(run.state)) {
      this.isRunning = true;
      this.#showProgress(run);
      this.timer = setTimeout(() => this.follow(), BUSY_MILLISECONDS);
      return;
    }
    hideNotice(NAME);
    if (this.isRunning) this.#ended(run);
    this.isRunning = false;
  }

  #showProgress(run) {
    const left = run.eta_seconds ? `, about ${lengthOf(run.eta_seconds)} left` : "";
    const text = run.files ? `${run.files_done} of ${counted(run.files, "video")}${left}. You can search what is there already.` : "Looking through the folders.";
    const cancel = ["Stop", () => api.cancelIndex().catch(this.listeners.onError)];
    notice(NAME, {
      title: run.state === "cancelling" ? "Stopping the index run" : "Indexing",
      text,
      share: run.files ? run.files_done / run.files : 0,
      actions: run.state === "running" ? [cancel] : [],
    });
  }

  #ended(run) {
    const failed = run.report?.failed ?? [];
    if (run.state === "failed") {
      this.#warn("The index run failed", [run.error?.message, run.error?.hint].filter(Boolean).join(". "));
    } else if (failed.length) {
      this.#warn(`${counted(failed.length, "file")} could not be indexed`, failed.slice(0, FAILURES_SHOWN).map(told).join("; "));
    } else {
      toast(run.state === "cancelled" ? "Stopped; what was finished is in the library" : `Indexed: ${counted(run.report?.added?.length ?? run.files_done, "video")} added`);
    }
    this.listeners.onDone(run);
  }

  #warn(title, text) {
    notice("index-failed", { tone: "warning", title, text, actions: [["Close", () => hideNotice("index-failed")]] });
  }
}

const told = (failure) => (typeof failure === "string" ? failure : [failure.path, failure.reason ?? failure.error].filter(Boolean).join(": "));
