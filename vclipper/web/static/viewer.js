/** The player, its timeline and the moment's two ends: everything about the one moment that is looked at. */

import * as api from "./api.js";
import { debounced, el, find, icon } from "./dom.js";
import { counted, duration as lengthOf, frameAt, parseTime, timecode } from "./format.js";
import * as kept from "./kept.js";
import { Player } from "./player.js";
import { isEmpty, queryBody } from "./query.js";
import { shortFolder } from "./results.js";
import { Timeline } from "./timeline.js";

/** Enough for 11 hours at one value every 2 s; longer curves come thinned. */
const CURVE_POINTS = 20000;
const TEXT_WINDOWS = 20;

export class Viewer {
  /** @param listeners onKeep(moment), onLike({video, seconds}), onNeighbour(±1), onClose(), onWindow(window), onError(error) */
  constructor(listeners) {
    this.listeners = listeners;
    this.root = find("#viewer");
    this.clock = find("#clock");
    this.frame = find("#clock-frame");
    this.timeline = new Timeline(find("#timeline"), {
      onSeek: (seconds) => this.player.seek(seconds),
      onWindow: (window) => this.#windowMoved(window),
      stillAt: (seconds) => this.stillAt(seconds),
    });
    this.player = new Player(find("#screen"), {
      onTime: (seconds) => this.#timeIs(seconds),
      onState: (state) => this.#stateIs(state),
    });
    this.curves = new Map();
    this.#listen();
    this.#rememberSound();
  }

  get isOpen() {
    return !this.root.hidden;
  }

  /** Look at a moment: {video_id, start_seconds, end_seconds, …} of a video, under a search (which may be empty). */
  open(moment, video, search, { play = false } = {}) {
    const isNewVideo = this.video?.video_id !== video.video_id || !this.isOpen;
    Object.assign(this, { moment, video, search });
    this.found = { start: moment.start_seconds, end: moment.end_seconds };
    this.root.hidden = false;
    this.#showHead();
    const shape = { duration: video.duration_seconds, frameRate: video.frame_rate, window: this.found };
    if (isNewVideo) this.timeline.showVideo(shape);
    else this.timeline.setWindow(this.found, { reveal: true });
    this.#showEnds();
    this.player.open({ video, window: this.timeline.window, play });
    this.#loadCurves();
  }

  close() {
    if (!this.isOpen) return;
    this.root.hidden = true;
    this.player.close();
    this.timeline.clear();
    this.video = this.moment = null;
  }

  /** Another query: the curves kept are of the last one. */
  forgetCurves() {
    this.curves.clear();
    this.request?.abort();
  }

  /** The moment as it is now, ends moved or not. */
  current() {
    const { start, end } = this.timeline.window;
    return { ...this.moment, start_seconds: start, end_seconds: end };
  }

  /** The kept still nearest to a time: one a sampled frame, so that the browser's cache holds them. */
  stillAt(seconds) {
    const period = this.period || 2;
    return api.thumbnail(this.video.video_id, Math.floor(seconds / period) * period);
  }

  /** Other ends than those that were found. */
  setWindow(window) {
    this.timeline.setWindow(window);
    this.player.setWindow(this.timeline.window);
    this.#showEnds();
  }

  setEnd(name, seconds) {
    if (this.isOpen) this.timeline.moveEnd(name, seconds);
  }

  #listen() {
    const { player, timeline } = this;
    const on = (selector, run) => find(selector).addEventListener("click", run);
    on("#close-viewer", () => this.listeners.onClose());
    on("#previous", () => this.listeners.onNeighbour(-1));
    on("#next", () => this.listeners.onNeighbour(1));
    on("#step-back", () => player.step(-1));
    on("#step-forward", () => player.step(1));
    on("#play", () => player.toggle());
    on("#loop", () => this.toggleLoop());
    on("#mute", () => this.toggleSound());
    on("#fullscreen", () => this.toggleFullscreen());
    on("#keep", () => this.listeners.onKeep(this.current()));
    on("#like", () => this.like());
    on("#reset-ends", () => this.#resetEnds());
    for (const button of this.root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    }
    for (const button of this.root.querySelectorAll("[data-layer]")) {
      button.addEventListener("click", () => timeline.setLayer(button.dataset.layer, togglePressed(button)));
    }
    this.#listenToEnds();
  }

  #listenToEnds() {
    find("#ends").addEventListener("submit", (event) => event.preventDefault());
    for (const [selector, name] of [["#in", "start"], ["#out", "end"]]) {
      find(selector).addEventListener("change", (event) => this.#endTyped(event.target, name));
    }
    this.tellWindow = debounced((window) => this.listeners.onWindow(window), 250);
  }

  zoom(how) {
    if (how === "in") this.timeline.zoom(0.6);
    else if (how === "out") this.timeline.zoom(1 / 0.6);
    else if (how === "moment") this.timeline.showWindow();
    else this.timeline.showAll();
  }

  like() {
    this.listeners.onLike({ video: this.video, seconds: this.player.time });
  }

  toggleLoop() {
    this.player.setLoop(togglePressed(find("#loop")));
  }

  toggleSound() {
    this.#setSound(this.player.video.muted);
    kept.write("sound", !this.player.video.muted, { everywhere: true });
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else find("#screen").requestFullscreen?.();
  }

  #rememberSound() {
    this.#setSound(kept.read("sound", false, { everywhere: true }));
  }

  #setSound(isOn) {
    this.player.video.muted = !isOn;
    find("#mute").setAttribute("aria-pressed", String(isOn));
    find("#mute").replaceChildren(icon(isOn ? "sound" : "muted"));
  }

  // ---- head, ends, clock

  #showHead() {
    const { video } = this;
    find("#viewer-title").textContent = video.name;
    find("#viewer-title").title = video.path;
    const rate = video.frame_rate ? `${Number(video.frame_rate.toFixed(3))} fps` : null;
    const size = video.width ? `${video.width} × ${video.height}` : null;
    const facts = [shortFolder(video.folder), lengthOf(video.duration_seconds), size, rate, video.codec?.toUpperCase()];
    if (video.partial) facts.push("indexed only in part");
    find("#viewer-facts").textContent = facts.filter(Boolean).join(" · ");
  }

  #windowMoved(window) {
    this.player.setWindow(window);
    this.#showEnds();
    this.tellWindow(window);
  }

  #showEnds() {
    const { start, end } = this.timeline.window;
    find("#in").value = timecode(start, 2);
    find("#out").value = timecode(end, 2);
    const frames = frameAt(end - start, this.video.frame_rate);
    const counts = this.video.frame_rate ? ` · ${counted(frames, "frame")}` : "";
    find("#length").textContent = `${Number((end - start).toFixed(2))} s${counts}`;
    const isMoved = Math.abs(start - this.found.start) > 0.05 || Math.abs(end - this.found.end) > 0.05;
    find("#reset-ends").hidden = !isMoved;
  }

  #endTyped(input, name) {
    const seconds = parseTime(input.value, this.video.frame_rate);
    if (seconds === null) return this.#showEnds();
    this.timeline.moveEnd(name, seconds);
    this.player.seek(this.timeline.window[name]);
    return undefined;
  }

  #resetEnds() {
    this.timeline.setWindow(this.found, { reveal: true });
    this.#windowMoved(this.timeline.window);
    find("#keep").focus(); // the button that was pressed is gone
  }

  #timeIs(seconds) {
    this.clock.textContent = timecode(seconds);
    this.frame.textContent = this.video?.frame_rate ? `frame ${frameAt(seconds, this.video.frame_rate)}` : "";
    this.timeline.setPlayhead(seconds);
  }

  #stateIs({ playing, rate }) {
    const button = find("#play");
    const label = playing ? "Pause" : "Play";
    button.setAttribute("aria-label", label);
    button.title = `${label} (Space)`;
    button.replaceChildren(icon(playing ? "pause" : "play"));
    find("#rate").hidden = !playing || rate === 1;
    find("#rate").textContent = `${rate}×`;
  }

  // ---- curves

  async #loadCurves() {
    const { video, search } = this;
    if (isEmpty(search)) return this.#tellInWords();
    const known = this.curves.get(video.video_id);
    if (known) return this.#showCurves(known);
    this.#tellInWords();
    this.request?.abort();
    this.request = new AbortController();
    const body = { ...queryBody(search), settings: search.settings };
    try {
      const data = await api.timeline(video.video_id, body, this.request.signal, CURVE_POINTS);
      this.curves.set(video.video_id, data);
      if (this.video?.video_id === video.video_id && this.search === search) this.#showCurves(data);
    } catch (error) {
      if (error.name !== "AbortError") this.listeners.onError(error);
    }
    return undefined;
  }

  #showCurves(data) {
    this.period = data.period_seconds;
    this.timeline.showCurves(data);
    this.#tellInWords(data);
  }

  /** What the canvas shows, for those who cannot see it. */
  #tellInWords(data) {
    find("#as-text").hidden = !data;
    if (!data) return;
    const [low, high] = [Math.min(...data.similarity), Math.max(...data.similarity)];
    const peak = data.similarity.indexOf(high) * data.period_seconds;
    const windows = [...data.windows].sort((a, b) => b.confidence - a.confidence).slice(0, TEXT_WINDOWS);
    find("#as-text-body").replaceChildren(
      el("p", {}, `${counted(data.similarity.length, "value")}, one every ${lengthOf(data.period_seconds)}. The similarity S_c lies between ` +
        `${low.toFixed(3)} and ${high.toFixed(3)}, highest at ${timecode(peak, 0)}. ${counted(data.cut_seconds.length, "cut")}.`),
      this.#windowTable(windows),
    );
  }

  #windowTable(windows) {
    const row = ({ start_seconds: start, end_seconds: end, confidence }) =>
      el("tr", {},
        el("td", {}, el("button", { type: "button", class: "link", on: { click: () => this.#choose({ start, end }) } }, `${timecode(start)} to ${timecode(end)}`)),
        el("td", {}, lengthOf(end - start)),
        el("td", {}, confidence.toFixed(2)));
    const head = el("tr", {}, ...["Window", "Length", "Confidence"].map((name) => el("th", { scope: "col" }, name)));
    return el("table", {}, el("thead", {}, head), el("tbody", {}, ...windows.map(row)));
  }

  #choose(window) {
    this.found = window;
    this.timeline.setWindow(window, { reveal: true });
    this.#windowMoved(this.timeline.window);
    this.player.seek(this.timeline.window.start);
  }
}

/** Flip a toggle button; whether it is pressed now. */
function togglePressed(button) {
  const isPressed = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isPressed));
  return isPressed;
}
