/**
 * The one <video> of the page. It plays a file as it is, a proxy once it is made, or, where the drive is away, the
 * stills that were kept at indexing.
 */

import * as api from "./api.js";
import { el, find } from "./dom.js";
import { clamp, frameSeconds } from "./format.js";

const POLL_MILLISECONDS = 500;
const RATES = [1, 1.5, 2, 4, 8];
/** A seek that falls this close before a loop's end would end at once. */
const LOOP_SLACK_SECONDS = 0.04;

export class Player {
  /**
   * @param screen holds the video, a still and a message
   * @param listeners onTime(seconds), onState({playing, rate})
   */
  constructor(screen, { onTime, onState }) {
    this.screen = screen;
    this.video = find("video", screen);
    this.still = find(".still", screen);
    this.message = find(".screen-message", screen);
    this.bigPlay = find(".screen-play", screen);
    this.onTime = onTime;
    this.onState = onState;
    this.loops = true;
    this.video.muted = true;
    this.#reset();
    this.#listen();
  }

  #reset() {
    this.videoId = null;
    this.frameRate = 0;
    this.duration = 0;
    this.window = { start: 0, end: 0 };
    this.time = 0;
    this.wanted = null;
    this.wantsToPlay = false;
    this.playable = false;
    this.triedProxy = false;
  }

  /** Show a moment of a video; with `play` it starts as soon as it can. */
  open({ video, window, play }) {
    this.window = window;
    this.wantsToPlay = play;
    if (this.videoId === video.video_id) {
      this.seek(window.start);
      if (play) this.play();
      return;
    }
    this.close();
    Object.assign(this, { videoId: video.video_id, frameRate: video.frame_rate, duration: video.duration_seconds });
    this.wantsToPlay = play;
    this.window = window;
    this.seek(window.start);
    this.#find(video.video_id);
  }

  /** Stop, and let go of the file. */
  close() {
    clearTimeout(this.polling);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.#say(null);
    this.#reset();
    this.#tell();
  }

  setWindow(window) {
    this.window = window;
  }

  get playing() {
    return this.playable && !this.video.paused;
  }

  play(rate = 1) {
    this.wantsToPlay = true;
    if (!this.playable) return;
    if (this.#isAtEnd()) this.seek(this.loops ? this.window.start : 0);
    this.video.playbackRate = rate;
    this.video.play().catch(() => this.#tell()); // it was paused again, or the browser wants a click first
  }

  pause() {
    this.wantsToPlay = false;
    this.video.pause();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Play; each further call is faster. */
  faster() {
    const next = RATES[Math.min(RATES.indexOf(this.video.playbackRate) + 1, RATES.length - 1)];
    this.play(this.playing ? next : 1);
    this.#tell();
  }

  seek(seconds) {
    this.time = clamp(seconds, 0, this.duration || seconds);
    if (this.video.readyState >= HTMLMediaElement.HAVE_METADATA) this.video.currentTime = this.#inside(this.time);
    else this.wanted = this.time;
    this.#showStill();
    this.onTime(this.time);
  }

  /** Go to the middle of another frame, so that rounding never shows its neighbour. */
  step(frames) {
    this.pause();
    const frame = frameSeconds(this.frameRate);
    this.seek((Math.floor(this.time / frame + 1e-3) + frames) * frame);
  }

  setLoop(loops) {
    this.loops = loops;
  }

  /** A time is the start of a frame; a little later shows this frame in every browser. */
  #inside(seconds) {
    return seconds + frameSeconds(this.frameRate) / 10;
  }

  #isAtEnd() {
    const end = this.loops && this.time <= this.window.end + LOOP_SLACK_SECONDS ? this.window.end : this.duration;
    return this.time >= end - LOOP_SLACK_SECONDS;
  }

  // ---- the file

  async #find(videoId) {
    this.#say(null);
    try {
      const answer = await api.playback(videoId);
      if (videoId === this.videoId) this.#follow(answer);
    } catch (error) {
      if (videoId === this.videoId) this.#failed(error.message, error.hint);
    }
  }

  #follow(answer) {
    if (answer.kind === "offline") return this.#offline(answer.reason);
    if (answer.state === "ready") return this.#load(answer.url);
    if (answer.state === "failed") return this.#failed("A preview copy could not be made", answer.reason);
    if (answer.state === "making") return this.#wait(answer);
    return this.#makeProxy(answer.reason);
  }

  #load(url) {
    this.#say(null);
    this.video.src = url;
  }

  async #makeProxy(reason) {
    const { videoId } = this;
    this.triedProxy = true;
    this.#wait({ progress: 0, reason });
    try {
      const answer = await api.makeProxy(videoId);
      if (videoId === this.videoId) this.#follow(answer);
    } catch (error) {
      if (videoId === this.videoId) this.#failed(error.message, error.hint);
    }
  }

  #wait({ progress, reason }) {
    const share = Math.round(100 * (progress ?? 0));
    this.#say(
      el("p", { class: "message-title" }, `Making a preview copy: ${share} %`),
      el("progress", { max: 100, value: share, aria: { label: "Preview copy" } }),
      el("p", {}, reason || "This browser cannot play the file itself."),
    );
    const { videoId } = this;
    clearTimeout(this.polling);
    this.polling = setTimeout(() => videoId === this.videoId && this.#poll(videoId), POLL_MILLISECONDS);
  }

  async #poll(videoId) {
    try {
      const answer = await api.playback(videoId);
      if (videoId !== this.videoId) return;
      if (answer.state === "missing") this.#failed("The preview copy was not made", answer.reason);
      else this.#follow(answer);
    } catch (error) {
      if (videoId === this.videoId) this.#failed(error.message, error.hint);
    }
  }

  #offline(reason) {
    this.#say(
      el("p", { class: "message-title" }, "The file cannot be reached"),
      el("p", {}, `${reason || "Its drive may not be connected."} Click the timeline to see the stills that were kept.`),
      el("button", { type: "button", class: "button small", on: { click: () => this.#find(this.videoId) } }, "Look again"),
    );
  }

  #failed(message, hint) {
    this.#say(
      el("p", { class: "message-title" }, message),
      hint ? el("p", {}, hint) : null,
      el("button", { type: "button", class: "button small", on: { click: () => this.#find(this.videoId) } }, "Try again"),
    );
  }

  #say(...content) {
    this.message.replaceChildren(...content.filter(Boolean));
    this.message.hidden = this.message.childElementCount === 0;
    this.#showBigPlay();
  }

  // ---- what is on the screen

  #listen() {
    const { video } = this;
    video.addEventListener("loadedmetadata", () => this.#ready());
    video.addEventListener("seeked", () => this.#showStill());
    video.addEventListener("loadeddata", () => this.#showStill());
    video.addEventListener("play", () => this.#tick());
    for (const name of ["play", "pause", "ratechange", "ended"]) video.addEventListener(name, () => this.#tell());
    video.addEventListener("error", () => this.#unplayable());
    video.addEventListener("ended", () => this.loops && this.#again());
    video.addEventListener("click", () => this.toggle());
    this.still.addEventListener("error", () => {
      this.still.hidden = true; // none was kept
    });
    this.still.addEventListener("click", () => this.toggle());
    this.bigPlay.addEventListener("click", () => this.play());
  }

  #ready() {
    this.playable = true;
    this.video.currentTime = this.#inside(this.wanted ?? this.time);
    this.wanted = null;
    if (this.wantsToPlay) this.play();
    this.#tell();
  }

  /** The browser refuses the file that the server thought it could play: a proxy will do. */
  #unplayable() {
    if (!this.video.getAttribute("src")) return;
    this.playable = false;
    if (this.triedProxy) this.#failed("This browser cannot play the preview copy", this.video.error?.message);
    else this.#makeProxy("This browser cannot play the file itself.");
  }

  #tick() {
    if (!this.playing) return;
    this.time = this.video.currentTime;
    if (this.loops && this.time >= this.window.end - LOOP_SLACK_SECONDS / 2 && this.time < this.window.end + 1) this.#again();
    this.onTime(this.time);
    requestAnimationFrame(() => this.#tick());
  }

  #again() {
    this.video.currentTime = this.#inside(this.window.start);
    if (this.video.paused) this.video.play().catch(() => this.#tell());
  }

  /** The still covers the screen until the video shows its own picture. */
  #showStill() {
    const hasPicture = this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    this.still.hidden = hasPicture || !this.videoId;
    if (!this.still.hidden) {
      const address = api.thumbnail(this.videoId, this.time, 640);
      if (this.still.getAttribute("src") !== address) this.still.src = address;
    }
    this.#showBigPlay();
  }

  #showBigPlay() {
    this.bigPlay.hidden = this.playing || !this.message.hidden || !this.videoId;
  }

  #tell() {
    this.#showBigPlay();
    this.onState({ playing: this.playing, rate: this.video.playbackRate });
  }
}
