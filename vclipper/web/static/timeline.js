/**
 * The similarity timeline of one video: S_c, the postprocessed curve, cuts and windows on a canvas; above it
 * the chosen moment with two ends and a playhead that can be dragged or moved by keys; below it the whole video.
 */

import { el, find, wantsStillness } from "./dom.js";
import { clamp, duration as lengthOf, frameSeconds, snap, timecode } from "./format.js";
import * as scale from "./timescale.js";

const PLOT_TOP = 20;
const AXIS_HEIGHT = 22;
const SHORTEST_VIEW_SECONDS = 1;
/** A moment fills about a fifth of the view it is opened with. */
const MARGIN = 2;
/** Shorter videos are shown whole. */
const LONG_SECONDS = 240;
const HANDLE_STEPS = { ArrowLeft: [-1, 0], ArrowDown: [-1, 0], ArrowRight: [1, 0], ArrowUp: [1, 0], PageDown: [0, -10], PageUp: [0, 10] };

export class Timeline {
  /**
   * @param root the section that holds the canvases and handles of index.html
   * @param listeners onSeek(seconds), onWindow({start, end}), stillAt(seconds) → address of a picture
   */
  constructor(root, { onSeek, onWindow, stillAt }) {
    this.root = root;
    this.onSeek = onSeek;
    this.onWindow = onWindow;
    this.stillAt = stillAt;
    this.plot = find(".plot", root);
    this.canvas = find(".plot canvas", root);
    this.overview = find(".overview", root);
    this.overviewCanvas = find(".overview canvas", root);
    this.handles = { start: find(".handle.start", root), end: find(".handle.end", root) };
    this.playheadHandle = find(".playhead", root);
    this.band = find(".band", root);
    this.frame = find(".overview-view", root);
    this.tip = find(".tip", root);
    this.tipStill = find("img", this.tip);
    this.tipStill.addEventListener("error", () => {
      this.tipStill.hidden = true; // none was kept
    });
    this.shown = { raw: true, postprocessed: true, cuts: true, windows: true };
    this.clear();
    this.#listen();
  }

  /** Nothing to show. */
  clear() {
    this.data = null;
    this.duration = 1;
    this.frameRate = 0;
    this.view = scale.wholeOf(1);
    this.window = { start: 0, end: 1 };
    this.playhead = 0;
    this.root.hidden = true;
  }

  /** A video of which only length and frame rate are known yet. */
  showVideo({ duration, frameRate, window }) {
    this.data = null;
    this.duration = Math.max(duration, 0.04);
    this.frameRate = frameRate;
    this.root.hidden = false;
    this.window = this.#legal(window);
    this.playhead = this.window.start;
    this.view = this.duration > LONG_SECONDS ? this.#viewAround(this.window) : scale.wholeOf(this.duration);
    this.draw();
  }

  /** The curves of the video that is shown: what the API calls a timeline. */
  showCurves(data) {
    this.data = data;
    this.rawRange = scale.rangeOf(data.similarity ?? []);
    this.range = scale.rangeOf(data.postprocessed ?? []);
    this.confidences = scale.rangeOf(data.windows.map(({ confidence }) => confidence));
    this.draw();
  }

  /** Another window of the same video. */
  setWindow(window, { reveal = false } = {}) {
    this.window = this.#legal(window);
    if (reveal && !this.#isInView(this.window)) this.#glideTo(this.#viewAround(this.window));
    this.draw();
  }

  setPlayhead(seconds) {
    this.playhead = clamp(seconds, 0, this.duration);
    this.#followPlayhead();
    this.#placeHandles();
  }

  zoom(factor, around = this.playhead) {
    const anchor = clamp(around, this.view.start, this.view.end);
    this.#setView(scale.zoomed(this.view, factor, anchor, this.duration, SHORTEST_VIEW_SECONDS));
  }

  showAll() {
    this.#glideTo(scale.wholeOf(this.duration));
  }

  showWindow() {
    this.#glideTo(this.#viewAround(this.window));
  }

  /** Show or hide one layer: raw, postprocessed, cuts, windows. */
  setLayer(name, isShown) {
    this.shown[name] = isShown;
    this.draw();
  }

  // ---- views and windows

  #viewAround(window) {
    return scale.around(window, this.duration, MARGIN, 8);
  }

  #isInView({ start, end }) {
    return start >= this.view.start && end <= this.view.end;
  }

  #setView(view) {
    this.view = view;
    this.draw();
  }

  #glideTo(target) {
    if (wantsStillness()) return this.#setView(target);
    const from = this.view;
    const began = performance.now();
    const step = (now) => {
      const share = clamp((now - began) / 180, 0, 1);
      const eased = 1 - (1 - share) ** 3;
      const mix = (a, b) => a + (b - a) * eased;
      this.#setView({ start: mix(from.start, target.start), end: mix(from.end, target.end) });
      if (share < 1) this.gliding = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this.gliding);
    this.gliding = requestAnimationFrame(step);
    return undefined;
  }

  #followPlayhead() {
    const span = scale.spanOf(this.view);
    if (this.dragging || (this.playhead >= this.view.start && this.playhead <= this.view.end)) return;
    this.#setView(scale.moved(this.view, this.playhead - this.view.start - span / 10, this.duration));
  }

  /** Ends on frames, in order, at least one frame apart, inside the video. */
  #legal({ start, end }, kept = "start") {
    const frame = frameSeconds(this.frameRate);
    const first = clamp(snap(start, this.frameRate), 0, this.duration - frame);
    const last = clamp(snap(end, this.frameRate), frame, this.duration);
    if (last - first >= frame - 1e-9) return { start: first, end: last };
    return kept === "start" ? { start: first, end: first + frame } : { start: last - frame, end: last };
  }

  /** Move one end; the other stays where it is. */
  moveEnd(name, seconds) {
    const frame = frameSeconds(this.frameRate);
    const snapped = snap(seconds, this.frameRate);
    const { start, end } = this.window;
    this.window =
      name === "start"
        ? { start: clamp(snapped, 0, end - frame), end }
        : { start, end: clamp(snapped, start + frame, this.duration) };
    this.draw();
    this.onWindow(this.window);
  }

  // ---- listening

  #listen() {
    new ResizeObserver(() => this.draw()).observe(this.plot);
    addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.#listenToPlot();
    this.#listenToOverview();
    for (const name of ["start", "end"]) this.#listenToHandle(name);
    this.playheadHandle.addEventListener("keydown", (event) => this.#stepBy(event, this.playhead, (to) => this.onSeek(to)));
  }

  /** The time below the pointer, which may be before the video's start or after its end. */
  #positionOf(event, element = this.plot, view = this.view) {
    const box = element.getBoundingClientRect();
    return scale.toSeconds(event.clientX - box.left, view, box.width);
  }

  #secondsAt(event, element = this.plot, view = this.view) {
    return clamp(this.#positionOf(event, element, view), 0, this.duration);
  }

  #listenToPlot() {
    const fingers = new Map();
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".handle") || event.button > 0) return;
      fingers.set(event.pointerId, event.clientX);
      this.plot.setPointerCapture(event.pointerId);
      this.dragging = true;
      if (fingers.size === 1) this.onSeek(this.#secondsAt(event));
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (fingers.size === 2 && fingers.has(event.pointerId)) this.#pinch(fingers, event);
      else if (fingers.has(event.pointerId)) this.onSeek(this.#secondsAt(event));
      this.#showTip(event);
    });
    const lift = (event) => {
      fingers.delete(event.pointerId);
      this.dragging = fingers.size > 0;
    };
    this.plot.addEventListener("pointerup", lift);
    this.plot.addEventListener("pointercancel", lift);
    this.plot.addEventListener("pointerleave", () => this.#hideTip());
    this.plot.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Two fingers: their distance zooms. */
  #pinch(fingers, event) {
    const before = [...fingers.values()];
    fingers.set(event.pointerId, event.clientX);
    const after = [...fingers.values()];
    const distance = ([a, b]) => Math.max(Math.abs(a - b), 12);
    const middle = this.#secondsAt({ clientX: (after[0] + after[1]) / 2 });
    this.zoom(distance(before) / distance(after), middle);
  }

  /** With Ctrl, ⌘ or Alt (a pinch on a touchpad is Ctrl) the wheel zooms; sideways it moves; else the page scrolls. */
  #wheel(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      this.zoom(Math.exp(clamp(event.deltaY, -60, 60) / 120), this.#secondsAt(event));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const pixels = event.deltaX || event.deltaY;
      this.#setView(scale.moved(this.view, (pixels / this.plot.clientWidth) * scale.spanOf(this.view), this.duration));
    }
  }

  #listenToOverview() {
    const centre = (event) => {
      const seconds = this.#secondsAt(event, this.overview, scale.wholeOf(this.duration));
      const middle = (this.view.start + this.view.end) / 2;
      this.#setView(scale.moved(this.view, seconds - middle, this.duration));
    };
    this.overview.addEventListener("pointerdown", (event) => {
      this.overview.setPointerCapture(event.pointerId);
      centre(event);
      this.#placeHandles();
    });
    this.overview.addEventListener("pointermove", (event) => event.buttons && centre(event));
  }

  #listenToHandle(name) {
    const handle = this.handles[name];
    let grip = 0; // how far from the end it was taken hold of
    handle.addEventListener("pointerdown", (event) => {
      grip = this.#positionOf(event) - this.window[name];
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      this.dragging = true;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      this.moveEnd(name, this.#positionOf(event) - grip);
      this.onSeek(this.window[name]);
    });
    handle.addEventListener("lostpointercapture", () => {
      this.dragging = false;
    });
    handle.addEventListener("keydown", (event) =>
      this.#stepBy(event, this.window[name], (to) => {
        this.moveEnd(name, to);
        this.onSeek(this.window[name]);
      }),
    );
  }

  /** Arrows: a frame, with Shift a second; Page keys: ten seconds; Home and End: the video's ends. */
  #stepBy(event, from, moveTo) {
    const edges = { Home: 0, End: this.duration };
    const [frames, seconds] = HANDLE_STEPS[event.key] ?? [0, 0];
    if (!(event.key in HANDLE_STEPS) && !(event.key in edges)) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.shiftKey ? frames : frames * frameSeconds(this.frameRate);
    moveTo(edges[event.key] ?? clamp(from + step + seconds, 0, this.duration));
  }

  // ---- the pointer's tip

  #showTip(event) {
    if (event.pointerType === "touch" || event.target.closest(".handle")) return this.#hideTip();
    const seconds = this.#secondsAt(event);
    const address = this.stillAt(seconds);
    if (this.tipStill.getAttribute("src") !== address) Object.assign(this.tipStill, { src: address, hidden: false });
    find(".tip-text", this.tip).replaceChildren(el("b", {}, timecode(seconds)), ...this.#valuesAt(seconds));
    this.tip.hidden = false;
    const half = this.tip.offsetWidth / 2;
    const x = scale.toX(seconds, this.view, this.plot.clientWidth);
    this.tip.style.left = `${clamp(x, half, this.plot.clientWidth - half)}px`;
    return undefined;
  }

  #valuesAt(seconds) {
    if (!this.data?.similarity) return [];
    const { similarity, postprocessed, period_seconds: period } = this.data;
    const raw = scale.valueAt(similarity, period, seconds);
    const processed = scale.valueAt(postprocessed, period, seconds);
    return [` S_c ${raw?.toFixed(3)}`, el("br"), `curve ${processed?.toFixed(2)}`];
  }

  #hideTip() {
    this.tip.hidden = true;
  }

  // ---- drawing

  /** Draw soon; many changes in one frame of the screen are drawn once. */
  draw() {
    if (this.root.hidden || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      if (this.root.hidden) return;
      this.colours = coloursOf(this.root);
      this.#drawPlot();
      this.#drawOverview();
      this.#placeHandles();
    });
  }

  #drawPlot() {
    const pen = penOf(this.canvas);
    const area = { left: 0, top: PLOT_TOP, width: pen.width, height: pen.height - PLOT_TOP - AXIS_HEIGHT };
    if (area.height <= 0) return;
    this.#drawAxis(pen, area);
    if (this.shown.windows) this.#drawWindows(pen, area);
    if (this.shown.cuts) this.#drawCuts(pen, area);
    this.#drawCurves(pen, area, this.view);
  }

  #drawAxis({ context, width }, { top, height }) {
    context.font = `11px ${this.colours.font}`;
    context.textAlign = "center";
    for (const { seconds, label } of scale.ticks(this.view, width)) {
      const x = scale.toX(seconds, this.view, width);
      context.fillStyle = this.colours.grid;
      context.fillRect(Math.round(x), top, 1, height);
      context.fillStyle = this.colours.muted;
      const half = context.measureText(label).width / 2;
      context.fillText(label, clamp(x, half, width - half), top + height + 15);
    }
    context.fillStyle = this.colours.grid;
    context.fillRect(0, top + height, width, 1);
  }

  /** A bar above the curve for each window; the more the localiser trusts it, the stronger. */
  #drawWindows({ context, width }, { top }) {
    context.fillStyle = this.colours.window;
    for (const { start_seconds: start, end_seconds: end, confidence } of this.data?.windows ?? []) {
      const x = scale.toX(start, this.view, width);
      context.globalAlpha = this.#strengthOf(confidence);
      context.fillRect(x + 1, top - 6, Math.max(2, scale.toX(end, this.view, width) - x - 2), 4);
    }
    context.globalAlpha = 1;
  }

  /** 0.15 for the least trusted window of the video, 1 for the most trusted one. */
  #strengthOf(confidence) {
    const [low, high] = this.confidences;
    return high > low ? 0.15 + (0.85 * (confidence - low)) / (high - low) : 1;
  }

  #drawCuts({ context, width }, { top, height }) {
    context.fillStyle = this.colours.cut;
    for (const seconds of this.data?.cut_seconds ?? []) {
      const x = Math.round(scale.toX(seconds, this.view, width));
      if (x < 0 || x > width) continue;
      for (let y = top; y < top + height; y += 6) context.fillRect(x, y, 1, 3);
    }
  }

  #drawCurves(pen, area, view) {
    if (!this.data?.similarity) return;
    const { similarity, postprocessed, period_seconds: period } = this.data;
    if (this.shown.postprocessed) {
      const points = scale.linePoints(postprocessed, period, view, pen.width, this.range);
      fillUnder(pen.context, points, area, this.colours.area);
      strokeLine(pen.context, points, area, this.colours.curve, 2);
    }
    if (this.shown.raw) {
      const points = scale.linePoints(similarity, period, view, pen.width, this.rawRange);
      strokeLine(pen.context, points, area, this.colours.raw, 1.2);
    }
  }

  #drawOverview() {
    const pen = penOf(this.overviewCanvas);
    const whole = scale.wholeOf(this.duration);
    const x = (seconds) => scale.toX(seconds, whole, pen.width);
    if (this.data?.postprocessed) {
      const { postprocessed, period_seconds: period } = this.data;
      const points = scale.linePoints(postprocessed, period, whole, pen.width, this.range);
      fillUnder(pen.context, points, { top: 4, height: pen.height - 4 }, this.colours.overview);
    }
    pen.context.fillStyle = this.colours.moment;
    pen.context.fillRect(x(this.window.start), pen.height - 3, Math.max(3, x(this.window.end) - x(this.window.start)), 3);
    this.#placeFrame(whole, pen.width);
  }

  #placeFrame(whole, width) {
    this.frame.style.left = `${scale.toX(this.view.start, whole, width)}px`;
    this.frame.style.width = `${scale.toX(this.view.end, whole, width) - scale.toX(this.view.start, whole, width)}px`;
  }

  #placeHandles() {
    const width = this.plot.clientWidth;
    const place = (element, seconds) => {
      const x = scale.toX(seconds, this.view, width);
      element.style.transform = `translateX(${x}px)`;
      element.classList.toggle("away", x < -1 || x > width + 1);
    };
    place(this.handles.start, this.window.start);
    place(this.handles.end, this.window.end);
    place(this.playheadHandle, this.playhead);
    const left = clamp(scale.toX(this.window.start, this.view, width), 0, width);
    const right = clamp(scale.toX(this.window.end, this.view, width), 0, width);
    this.band.style.transform = `translateX(${left}px)`;
    this.band.style.width = `${right - left}px`;
    this.#tellHandles();
  }

  #tellHandles() {
    const { start, end } = this.window;
    tellSlider(this.handles.start, start, 0, end, `Start ${timecode(start, 2)}, length ${lengthOf(end - start)}`);
    tellSlider(this.handles.end, end, start, this.duration, `End ${timecode(end, 2)}, length ${lengthOf(end - start)}`);
    tellSlider(this.playheadHandle, this.playhead, 0, this.duration, timecode(this.playhead, 2));
  }
}

function tellSlider(element, now, low, high, text) {
  element.setAttribute("aria-valuenow", now.toFixed(3));
  element.setAttribute("aria-valuemin", low.toFixed(3));
  element.setAttribute("aria-valuemax", high.toFixed(3));
  element.setAttribute("aria-valuetext", text);
}

/** A cleared 2-D context in CSS pixels, sharp on any screen. */
function penOf(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** The theme's colours, as the style sheet names them. */
function coloursOf(root) {
  const style = getComputedStyle(root);
  const named = (name) => style.getPropertyValue(`--plot-${name}`).trim();
  const names = { grid: "grid", muted: "label", window: "window", cut: "cut" };
  const more = { curve: "curve", area: "area", raw: "raw", overview: "overview", moment: "moment" };
  const colours = Object.fromEntries(Object.entries({ ...names, ...more }).map(([key, name]) => [key, named(name)]));
  return { ...colours, font: style.fontFamily };
}

const yOf = (y, { top, height }) => top + (1 - clamp(y, 0, 1)) * height;

function strokeLine(context, points, area, colour, width) {
  context.beginPath();
  points.forEach(({ x, y }, i) => (i ? context.lineTo(x, yOf(y, area)) : context.moveTo(x, yOf(y, area))));
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.stroke();
}

function fillUnder(context, points, area, colour) {
  if (!points.length) return;
  const bottom = area.top + area.height;
  context.beginPath();
  context.moveTo(points[0].x, bottom);
  for (const { x, y } of points) context.lineTo(x, yOf(y, area));
  context.lineTo(points.at(-1).x, bottom);
  context.closePath();
  context.fillStyle = colour;
  context.fill();
}
