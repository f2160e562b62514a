/** The page: one search at a time, its results, the moment that is looked at. The address bar holds all three. */

import * as api from "./api.js";
import { Basket } from "./basket.js";
import { el, find, icon } from "./dom.js";
import { ExportDialog } from "./exporting.js";
import { Filters } from "./filters.js";
import { SearchForm } from "./form.js";
import { counted } from "./format.js";
import { openHelp } from "./help.js";
import { Indexing } from "./indexing.js";
import * as kept from "./kept.js";
import { listenToKeys } from "./keys.js";
import { hideNotice, notice, toast } from "./notices.js";
import { revived } from "./pictures.js";
import * as query from "./query.js";
import { Results, isDocked, keyOf } from "./results.js";
import { errorMessage, message, nothingFound, startPage } from "./start.js";
import { Viewer } from "./viewer.js";

const PAGE_SIZE = 48;
const WAITING_MILLISECONDS = 150;
const SLOW_MILLISECONDS = 3500;
const RETRY_MILLISECONDS = 3000;
const WEAKEST_SCORE = -1000;
const THEMES = ["auto", "light", "dark"];

class App {
  constructor() {
    this.search = query.emptySearch();
    this.answer = null;
    this.results = new Results(find("#results"), {
      onOpen: (moment, options) => this.open(moment, options),
      onKeep: (moment) => this.keep(moment, this.results.videoOf(moment)),
      onLike: (where) => this.searchLike(where),
      onAlike: (moment) => this.searchAlike(moment),
      onMore: () => this.more(),
    });
    this.viewer = new Viewer({
      onKeep: (moment) => this.keep(moment, this.viewer.video),
      onLike: (where) => this.searchLike(where),
      onNeighbour: (direction) => this.openNeighbour(direction),
      onClose: () => this.closeViewer(),
      onWindow: () => this.#windowMoved(),
      onError: (error) => this.fail(error),
    });
    this.form = new SearchForm({
      onSearch: () => this.submit(),
      onSave: () => this.toggleSaved(),
      onError: (error) => this.fail(error),
    });
    this.filters = new Filters(find("#filters"), {
      onChange: () => this.submit(),
      onSaved: (parameters) => this.run(query.fromParameters(parameters)),
    });
    this.basket = new Basket(find("#basket"), {
      onOpen: (item) => this.openKept(item),
      onExport: (items) => this.exporting.open(items),
      onChange: () => this.#markKept(),
    });
    this.exporting = new ExportDialog(find("#export-dialog"), { onError: (error) => this.fail(error) });
    this.indexing = new Indexing(find("#index-dialog"), { onDone: () => this.#indexed(), onError: (error) => this.fail(error) });
    this.#listen();
  }

  /** Ask what the library is, then show what the address says. */
  async begin() {
    try {
      [this.library, this.knobs] = await Promise.all([api.library(), api.settings()]);
    } catch (error) {
      return this.fail(error, () => this.begin());
    }
    kept.useLibrary(this.library.path);
    this.filters.setLibrary(this.library, this.knobs);
    this.basket.load();
    this.indexing.follow();
    const typed = this.form.value(); // while the page was starting
    const { early } = this;
    this.early = null;
    if (early) return this.run(...early);
    this.#goToAddress();
    if (query.isEmpty(this.search)) this.form.show(typed);
    return undefined;
  }

  // ---- searching

  /** Search for what the box and the filters say now. */
  submit() {
    const { filters, settings } = this.filters;
    this.run({ ...this.form.value(), filters: { ...filters }, settings: { ...settings } }, { focus: true });
  }

  /** Run a search and show it; `history` is "push", "replace" or "keep" (the address says it already).
   * Before the page has started it waits: the start would run the address's search over it and load the basket anew. */
  async run(search, { history = "push", at = null, focus = false } = {}) {
    if (!this.library) {
      this.early = [search, { history, at, focus }];
      return undefined;
    }
    this.request?.abort();
    this.request = new AbortController();
    const { signal } = this.request;
    this.search = search;
    this.answer = null;
    this.#showSearch(search, history, at);
    this.#ready();
    if (query.isEmpty(search)) return this.#showStart(at);
    const timers = this.#showPatience();
    this.results.setBusy(true);
    try {
      const answer = await api.search(query.searchBody(search, 1, PAGE_SIZE), signal);
      if (this.search === search) await this.#showAnswer(answer, at, focus);
    } catch (error) {
      if (error.name !== "AbortError" && this.search === search) await this.#searchFailed(error, search, at);
    } finally {
      timers.forEach(clearTimeout);
      if (this.search === search) this.#ready();
    }
    return undefined;
  }

  #showSearch(search, history, at) {
    this.form.show(search);
    this.filters.show(search);
    this.form.showSaved(this.filters.isSaved(search));
    this.viewer.forgetCurves();
    find("#save-search").hidden = query.isEmpty(search);
    document.title = query.isEmpty(search) ? "VClipper" : `${query.describe(search)} – VClipper`;
    if (history !== "keep") this.#writeAddress({ push: history === "push", at });
  }

  #ready() {
    this.results.setBusy(false);
    hideNotice("slow");
  }

  /** Grey cards when the answer takes a moment, a sentence when it takes longer. */
  #showPatience() {
    find("#summary").textContent = "";
    const wait = setTimeout(() => {
      this.viewer.close();
      this.#showStage();
      this.results.showWaiting();
      find("#summary").textContent = "Searching…";
    }, WAITING_MILLISECONDS);
    const slow = setTimeout(() => {
      const text = "The first search loads the model, which takes some seconds. Large libraries take longer.";
      notice("slow", { title: "Still searching.", text, actions: [["Cancel", () => this.#cancel()]] });
    }, SLOW_MILLISECONDS);
    return [wait, slow];
  }

  #cancel() {
    this.request?.abort();
    this.#ready();
    this.results.show(message({ title: "Cancelled", lines: ["The search was stopped."], actions: [["Search again", () => this.submit()]] }));
    find("#summary").textContent = "";
  }

  async #showAnswer(answer, at, focus) {
    hideNotice("gone");
    this.answer = answer;
    find("#arrangement").hidden = answer.total === 0;
    this.#tellSummary();
    if (answer.total === 0) return this.#showNothing();
    this.results.showFirst(answer, this.arrangement, () => this.#ending());
    this.#markKept();
    const moment = this.results.moments.find((one) => keyOf(one) === at?.key) ?? (isDocked() ? this.results.moments[0] : null);
    if (moment) this.open(moment, { play: false, cut: at?.cut });
    else this.#hideViewer();
    if (focus) this.#focusResults();
    return undefined;
  }

  #focusResults() {
    document.activeElement?.blur();
    if (isDocked()) this.results.focus(this.results.moments[0]);
  }

  #tellSummary() {
    const { total, elapsed_ms: milliseconds } = this.answer;
    find("#summary").textContent = total ? `${counted(total, "moment")} · ${took(milliseconds)}` : "";
  }

  #showNothing() {
    this.#hideViewer();
    const again = (changes) => this.run({ ...this.search, ...changes });
    this.results.show(
      nothingFound(this.search, {
        onFewerWords: () => again({ text: this.search.text.split(/\s+/).slice(0, -1).join(" ") }),
        onShowAll: () => this.#showWeaker(),
        onClearFilters: () => again({ filters: {} }),
        onResetSettings: () => again({ settings: {} }),
      }),
    );
  }

  #showWeaker() {
    this.run({ ...this.search, settings: { ...this.search.settings, min_score: WEAKEST_SCORE } });
  }

  /** Below the last moment. */
  #ending() {
    const weakest = this.search.settings.min_score === WEAKEST_SCORE;
    if (weakest) return [el("p", {}, "That is everything.")];
    const weaker = el("button", { type: "button", class: "link", on: { click: () => this.#showWeaker() } }, "Show weaker matches");
    return [el("p", {}, "That is all that stands out."), weaker];
  }

  async #searchFailed(error, search, at) {
    if (error instanceof api.ServerGone) return this.fail(error, () => this.run(search, { history: "keep", at }));
    if (error.status === 404 && search.pictures.length) return this.#revive(search, at);
    this.#hideViewer();
    this.form.markWrong(error.status < 500);
    const actions = [["Search again", () => this.submit()], ["Start page", () => this.run(query.emptySearch())]];
    this.results.show(errorMessage(error, actions));
    find("#summary").textContent = "";
    return undefined;
  }

  /** The server forgot a picture: send the copy that the page kept. */
  async #revive(search, at) {
    try {
      const fresh = await revived(search);
      if (fresh) return this.run(fresh, { history: "replace", at });
    } catch (error) {
      return this.fail(error);
    }
    const lines = ["The server keeps uploads for an hour, and this browser has no copy."];
    this.results.show(message({ sign: "picture", title: "The picture is gone", lines, actions: [["Choose it again", () => find("#pick-picture").click()]] }));
    return undefined;
  }

  /** The next page, when the end of the list comes near. */
  async more() {
    const { answer, search } = this;
    if (!answer || this.isLoading || answer.page >= answer.pages) return;
    this.isLoading = true;
    try {
      const next = await api.search(query.searchBody(search, answer.page + 1, PAGE_SIZE));
      if (this.search !== search) return;
      this.answer = { ...next, elapsed_ms: answer.elapsed_ms };
      this.results.append(next, () => this.#ending());
      this.#markKept();
    } catch (error) {
      this.fail(error);
    } finally {
      this.isLoading = false;
    }
  }

  searchLike({ video, seconds }) {
    const like = { video_id: video.video_id, seconds: Number(seconds.toFixed(3)), name: video.name };
    this.run({ ...query.emptySearch(), like, filters: this.search.filters, settings: this.search.settings });
  }

  /** What was folded into a moment: everything that looks like its middle, unfolded. */
  searchAlike({ video_id: id, start_seconds: start, end_seconds: end }) {
    const like = { video_id: id, seconds: (start + end) / 2, name: this.results.videos[id]?.name };
    this.run({ ...query.emptySearch(), like, settings: { ...this.search.settings, fold: false } });
  }

  get arrangement() {
    return kept.read("arrangement", "video", { everywhere: true });
  }

  arrange(arrangement) {
    kept.write("arrangement", arrangement, { everywhere: true });
    this.#showArrangement();
    if (!this.answer?.total) return;
    const { moments, videos, selected } = this.results;
    this.results.showFirst({ ...this.answer, moments, videos }, arrangement, () => this.#ending());
    this.results.select(selected);
    this.#markKept();
  }

  #showArrangement() {
    for (const button of document.querySelectorAll("[data-arrangement]")) {
      button.setAttribute("aria-pressed", String(button.dataset.arrangement === this.arrangement));
    }
  }

  // ---- start page

  #showStart(at) {
    find("#summary").textContent = "";
    find("#arrangement").hidden = true;
    if (!this.library.videos) return this.#showEmptyLibrary();
    this.results.show(
      startPage(this.library, {
        onExample: (text) => this.run({ ...query.emptySearch(), text }, { focus: true }),
        onVideo: (video) => this.openVideo(video),
        onError: (error) => this.fail(error),
      }),
    );
    if (at) return this.#openByAddress(at);
    return this.#hideViewer();
  }

  #showEmptyLibrary() {
    this.#hideViewer();
    const page = message({
      sign: "film",
      title: "The library is empty",
      lines: ["Say where your videos are. Each is looked at once; nothing leaves this computer."],
    });
    page.append(this.indexing.form());
    this.results.show(page);
  }

  async #indexed() {
    try {
      this.library = await api.library();
    } catch (error) {
      return this.fail(error);
    }
    this.filters.setLibrary(this.library, this.knobs);
    if (query.isEmpty(this.search)) this.#showStart(null);
    return undefined;
  }

  // ---- the moment that is looked at

  open(moment, { play = false, cut = null } = {}) {
    const wasOpen = this.viewer.isOpen;
    this.#show(moment, this.results.videoOf(moment), { play, cut });
    this.results.select(moment);
    this.#writeAddress({ push: !isDocked() && !wasOpen, at: { key: keyOf(moment), cut } });
  }

  #show(moment, video, { play, cut }) {
    const isDemandingStill = !isDocked() && !this.viewer.isOpen;
    this.viewer.open(moment, video, this.search, { play });
    if (cut) this.viewer.setWindow(cut);
    this.#showStage();
    this.#markKept();
    if (isDemandingStill) find("#close-viewer").focus({ preventScroll: true });
  }

  /** A video of the start page, without a query. */
  openVideo(video) {
    const moment = { video_id: video.video_id, start_seconds: 0, end_seconds: Math.min(video.duration_seconds, 10) };
    this.#show(moment, video, { play: true });
    this.#writeAddress({ push: !isDocked(), at: { key: keyOf(moment) } });
  }

  async openKept(item) {
    if (!isDocked()) this.basket.close();
    try {
      this.#show(item, await api.video(item.video_id), { play: true });
      this.results.select(item);
    } catch (error) {
      this.fail(error);
    }
  }

  /** The address names a moment that is in no result: show it all the same. */
  async #openByAddress({ key, cut }) {
    const [id, start, end] = key.split(":");
    try {
      this.#show({ video_id: id, start_seconds: Number(start), end_seconds: Number(end) }, await api.video(id), { play: false, cut });
    } catch (error) {
      this.fail(error);
    }
  }

  openNeighbour(direction) {
    const moment = this.results.neighbour(direction);
    if (!moment) return;
    this.open(moment, { play: this.viewer.player.playing });
    this.results.focus(moment);
  }

  closeViewer() {
    if (history.state?.viewer) return history.back(); // the address of the list comes back with it
    this.#hideViewer();
    this.#writeAddress({ push: false });
    return undefined;
  }

  #hideViewer() {
    const { selected } = this.results;
    const hadFocus = this.viewer.root.contains(document.activeElement);
    this.viewer.close();
    this.#showStage();
    if (hadFocus && selected) this.results.focus(selected);
    this.results.select(null);
  }

  #showStage() {
    find("#stage").classList.toggle("with-viewer", this.viewer.isOpen);
    document.body.classList.toggle("with-viewer", this.viewer.isOpen);
  }

  #windowMoved() {
    const { start, end } = this.viewer.timeline.window;
    this.#writeAddress({ push: false, at: { key: keyOf(this.viewer.moment), cut: { start, end } } });
    this.#markKept();
  }

  // ---- basket and saved searches

  keep(moment, video) {
    this.basket.toggleMoment(moment, video, query.describe(this.search));
  }

  #markKept() {
    this.results.markKept((moment) => this.basket.has(moment));
    if (!this.viewer.isOpen) return;
    const isKept = this.basket.has(this.viewer.current());
    const button = find("#keep");
    button.setAttribute("aria-pressed", String(isKept));
    button.replaceChildren(icon(isKept ? "check" : "basket"), isKept ? "Kept" : "Keep");
  }

  toggleSaved() {
    const isSaved = this.filters.toggleSaved(this.search);
    this.form.showSaved(isSaved);
    toast(isSaved ? "Saved: see “Saved” below the search box" : "Forgotten");
  }

  // ---- address

  #writeAddress({ push, at = null }) {
    const parameters = query.toParameters(this.search);
    if (at?.key) parameters.set("at", at.key);
    if (at?.cut) parameters.set("cut", `${at.cut.start.toFixed(3)}-${at.cut.end.toFixed(3)}`);
    const address = parameters.size ? `?${parameters}` : location.pathname;
    const state = { viewer: push && Boolean(at?.key) && !isDocked() };
    if (push && address !== location.search) history.pushState(state, "", address);
    else history.replaceState(history.state ?? state, "", address);
  }

  #goToAddress() {
    const parameters = new URLSearchParams(location.search);
    const search = query.fromParameters(parameters);
    const at = atOf(parameters);
    const isSame = query.toParameters(search).toString() === query.toParameters(this.search).toString();
    if (isSame && this.answer) return this.#goTo(at);
    return this.run(search, { history: "keep", at });
  }

  /** Back and forward within one search: another moment, or none. */
  #goTo(at) {
    const moment = this.results.moments.find((one) => keyOf(one) === at?.key);
    if (!moment) return this.#hideViewer();
    this.#show(moment, this.results.videoOf(moment), { play: false, cut: at.cut });
    this.results.select(moment);
    return undefined;
  }

  // ---- failures

  /** Say that something failed; where nobody answers, ask again until somebody does, then run `retry`. */
  fail(error, retry = null) {
    if (error.name === "AbortError") return;
    if (error instanceof api.ServerGone) {
      this.#waitForServer(retry);
      return;
    }
    const text = [error.message, error.hint].filter(Boolean).join(". ");
    if (this.library) toast(text);
    else this.results.show(errorMessage(error, [["Try again", () => this.begin()]]));
  }

  #waitForServer(retry) {
    this.retry = retry ?? this.retry;
    clearTimeout(this.retrying);
    const port = location.port ? ` --port ${location.port}` : "";
    notice("gone", {
      tone: "error",
      title: "VClipper does not answer.",
      text: "Is it still running? Start it in a terminal; this page goes on by itself:",
      code: `vclip serve${port}`,
      actions: [["Try now", () => this.#lookForServer()]],
    });
    if (!this.results.moments.length) {
      this.results.show(message({ sign: "offline", title: "Waiting for the server", lines: ["Nothing is lost: your basket and saved searches are in this browser."] }));
    }
    this.retrying = setTimeout(() => this.#lookForServer(), RETRY_MILLISECONDS);
  }

  async #lookForServer() {
    clearTimeout(this.retrying);
    try {
      await api.library();
    } catch (error) {
      if (error instanceof api.ServerGone) this.retrying = setTimeout(() => this.#lookForServer(), RETRY_MILLISECONDS);
      else this.fail(error);
      return;
    }
    hideNotice("gone");
    toast("VClipper is back");
    const { retry } = this;
    this.retry = null;
    if (retry) retry();
    else if (!this.library) this.begin();
    else this.indexing.follow();
  }

  // ---- controls

  #listen() {
    addEventListener("popstate", () => this.library && this.#goToAddress());
    find("#home").addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.run(query.emptySearch());
    });
    find("#open-help").addEventListener("click", () => this.help());
    find("#open-index").addEventListener("click", () => this.indexing.open());
    find("#theme").addEventListener("click", () => nextTheme());
    for (const button of document.querySelectorAll("[data-arrangement]")) {
      button.addEventListener("click", () => this.arrange(button.dataset.arrangement));
    }
    this.#showArrangement();
    showTheme();
    listenToKeys(this.#commands());
  }

  help() {
    openHelp(find("#help"), (text) => this.run({ ...query.emptySearch(), text }, { focus: true }));
  }

  /** Key → command. Those of the player do nothing while no moment is open. */
  #commands() {
    const { viewer } = this;
    const withMoment = (run) => () => (viewer.isOpen ? run(viewer.player, viewer) : false);
    const arrow = (event) => this.results.moveFocus(event.key);
    const playing = {
      " ": (player) => player.toggle(),
      k: (player) => player.pause(),
      l: (player) => player.faster(),
      j: (player) => player.seek(player.time - 1),
      ",": (player) => player.step(-1),
      ".": (player) => player.step(1),
      "[": (player) => player.seek(viewer.timeline.window.start),
      "]": (player) => player.seek(viewer.timeline.window.end),
      i: (player) => viewer.setEnd("start", player.time),
      o: (player) => viewer.setEnd("end", player.time),
      b: () => this.keep(viewer.current(), viewer.video),
      m: () => viewer.like(),
      r: () => viewer.toggleLoop(),
      s: () => viewer.toggleSound(),
      f: () => viewer.toggleFullscreen(),
      z: () => viewer.zoom("moment"),
      0: () => viewer.zoom("all"),
      "+": () => viewer.zoom("in"),
      "=": () => viewer.zoom("in"),
      "-": () => viewer.zoom("out"),
    };
    return {
      ...Object.fromEntries(Object.entries(playing).map(([key, run]) => [key, withMoment(run)])),
      "/": () => this.form.focus(),
      "?": () => this.help(),
      B: () => this.basket.toggle(),
      n: () => this.openNeighbour(1),
      p: () => this.openNeighbour(-1),
      ArrowLeft: arrow,
      ArrowRight: arrow,
      ArrowUp: arrow,
      ArrowDown: arrow,
      Escape: () => this.escape(),
    };
  }

  /** Close what lies on top: basket, player over the list. */
  escape() {
    if (this.basket.isOpen) return this.basket.close();
    if (this.viewer.isOpen && !isDocked()) return this.closeViewer();
    return false;
  }
}

const took = (milliseconds) => (milliseconds < 1000 ? `${Math.max(1, Math.round(milliseconds))} ms` : `${(milliseconds / 1000).toFixed(1)} s`);

/** The moment that an address names: {key, cut}. */
function atOf(parameters) {
  const key = parameters.get("at");
  if (!/^\d+:[\d.]+:[\d.]+$/.test(key ?? "")) return null;
  const [, start, end] = /^([\d.]+)-([\d.]+)$/.exec(parameters.get("cut") ?? "") ?? [];
  return { key, cut: end ? { start: Number(start), end: Number(end) } : null };
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  localStorage.setItem("vclipper:theme", JSON.stringify(next));
  showTheme();
}

function showTheme() {
  const label = `Theme: ${document.documentElement.dataset.theme ?? "as the system"}`;
  find("#theme").title = label;
  find("#theme").setAttribute("aria-label", label);
  dispatchEvent(new Event("themechange"));
}

new App().begin();
