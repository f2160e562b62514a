/** The list of moments: grouped by video or by rank, loaded page after page, with one card a moment. */

import { debounced, el, find, icon, iconButton, wantsStillness } from "./dom.js";
import { counted, duration as lengthOf, timecode } from "./format.js";

/** A group shows so many cards at first, so that one film never pushes the others off the page. */
const GROUP_CARDS = 4;
const FOCUS_MILLISECONDS = 120;

export class Results {
  /** @param listeners onOpen(moment, {play}), onKeep(moment), onLike({video, seconds}), onAlike(moment), onMore() */
  constructor(root, listeners) {
    this.root = root;
    this.listeners = listeners;
    this.arrangement = "video";
    this.focusOpens = debounced((moment) => listeners.onOpen(moment, { play: false }), FOCUS_MILLISECONDS);
    this.reveal = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && listeners.onMore(), {
      rootMargin: "600px",
    });
    this.clear();
  }

  /** Put something else in place of the list. */
  show(...content) {
    this.clear();
    this.root.replaceChildren(...content);
  }

  clear() {
    this.reveal.disconnect();
    this.moments = [];
    this.videos = {};
    this.cards = new Map();
    this.groups = new Map();
    this.root.replaceChildren();
    scrollTo(0, 0);
  }

  /** Tell screen readers that the list is about to change. */
  setBusy(isBusy) {
    if (isBusy) this.root.setAttribute("aria-busy", "true");
    else this.root.removeAttribute("aria-busy");
  }

  /** Grey cards until the answer is there. */
  showWaiting() {
    this.show(el("div", { class: "cards", aria: { hidden: "true" } }, ...Array.from({ length: 8 }, () => el("div", { class: "card waiting" }))));
  }

  /** The first page of an answer, and what stands below the last one. */
  showFirst(answer, arrangement, ending) {
    this.clear();
    this.arrangement = arrangement;
    this.list = el("div", { class: arrangement === "rank" ? "cards ranked" : "groups" });
    this.foot = el("div", { class: "results-foot" });
    this.root.append(this.list, this.foot);
    this.append(answer, ending);
  }

  /** A further page. */
  append({ moments, videos, page, pages }, ending) {
    Object.assign(this.videos, videos);
    for (const moment of moments) this.#add(moment);
    this.#showFoot(page < pages, ending);
  }

  videoOf(moment) {
    return this.videos[moment.video_id];
  }

  /** Mark the moment that is looked at. */
  select(moment) {
    this.root.querySelector(".card[aria-current]")?.removeAttribute("aria-current");
    const card = moment && this.cards.get(keyOf(moment));
    card?.setAttribute("aria-current", "true");
    this.selected = card ? moment : null;
  }

  /** Mark which moments are in the basket. */
  markKept(isKept) {
    for (const [, card] of this.cards) {
      const button = find(".card-keep", card);
      button.setAttribute("aria-pressed", String(isKept(card.moment)));
    }
  }

  /** The moment before or after the selected one, as they stand on the page. */
  neighbour(direction) {
    const cards = this.#visible();
    const at = cards.findIndex((card) => this.selected && card.moment === this.selected);
    return cards[at < 0 ? 0 : at + direction]?.moment;
  }

  /** Arrow keys: the card beside, above or below the focused one. */
  moveFocus(key) {
    const cards = this.#visible();
    const focused = document.activeElement?.closest(".card") ?? cards.find((card) => card.moment === this.selected);
    const at = cards.indexOf(focused);
    const next = at < 0 ? cards[0] : nextCard(cards, at, key);
    if (next) this.focus(next.moment);
    return Boolean(next);
  }

  /** Focus a moment's card. */
  focus(moment) {
    const card = this.cards.get(keyOf(moment));
    if (!card) return;
    if (card.hidden) this.#openGroup(card);
    find(".card-open", card).focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  #visible() {
    return [...this.cards.values()].filter((card) => !card.hidden);
  }

  // ---- building

  #add(moment) {
    this.moments.push(moment);
    const card = this.#card(moment);
    this.cards.set(keyOf(moment), card);
    if (this.arrangement === "rank") this.list.append(card);
    else this.#groupOf(moment).add(card);
  }

  #groupOf(moment) {
    if (!this.groups.has(moment.video_id)) {
      const group = new Group(this.videoOf(moment), (first) => this.listeners.onOpen(first, { play: false }));
      this.groups.set(moment.video_id, group);
      this.list.append(group.root);
    }
    return this.groups.get(moment.video_id);
  }

  #openGroup(card) {
    this.groups.get(card.moment.video_id)?.showAll();
  }

  #card(moment) {
    const video = this.videoOf(moment);
    const times = `${timecode(moment.start_seconds)} – ${timecode(moment.end_seconds)}`;
    const open = el(
      "button",
      { type: "button", class: "card-open", aria: { label: `${video.name}, ${times}, score ${moment.score.toFixed(1)}` } },
      still(moment.thumbnail_url),
      el("span", { class: "card-time" }, times),
      video.online ? null : el("span", { class: "card-flag", title: "The file is not there; its drive may not be connected" }, icon("offline"), "offline"),
    );
    open.addEventListener("click", () => this.listeners.onOpen(moment, { play: !wantsStillness() }));
    open.addEventListener("focus", () => open.matches(":focus-visible") && isDocked() && this.focusOpens(moment));
    const card = el("article", { class: "card" }, open, this.#cardName(video), this.#cardFoot(moment, video));
    card.moment = moment;
    return card;
  }

  #cardName(video) {
    return this.arrangement === "rank" ? el("p", { class: "card-name", title: video.path }, video.name) : null;
  }

  #cardFoot(moment, video) {
    const middle = (moment.start_seconds + moment.end_seconds) / 2;
    return el(
      "div",
      { class: "card-foot" },
      el("span", {}, lengthOf(moment.end_seconds - moment.start_seconds)),
      el("span", { class: "score", title: "How far the moment stands out from the library, in standard deviations" }, `${moment.score.toFixed(1)} σ`),
      this.#alikeButton(moment),
      el(
        "span",
        { class: "card-tools" },
        iconButton("like", "More like this", () => this.listeners.onLike({ video, seconds: middle })),
        iconButton("basket", "Keep in the basket", () => this.listeners.onKeep(moment), { class: "card-keep", "aria-pressed": "false" }),
      ),
    );
  }

  #alikeButton(moment) {
    if (!moment.similar) return null;
    const title = `Show the ${counted(moment.similar, "near-duplicate")} in other videos`;
    const click = () => this.listeners.onAlike(moment);
    return el("button", { type: "button", class: "alike", title, aria: { label: title }, on: { click } }, `+${moment.similar} alike`);
  }

  #showFoot(hasMore, ending) {
    this.reveal.disconnect();
    if (!hasMore) {
      this.foot.replaceChildren(...ending());
      return;
    }
    const more = el("button", { type: "button", class: "button", on: { click: () => this.listeners.onMore() } }, "Show more");
    this.foot.replaceChildren(more);
    this.reveal.observe(this.foot);
  }
}

/** One video's moments under its name, with a strip that shows where in the video they are. */
class Group {
  constructor(video, open) {
    this.video = video;
    this.cards = [];
    this.isOpen = false;
    this.strip = el("div", { class: "strip", aria: { hidden: "true" } });
    this.list = el("div", { class: "cards" });
    this.more = el("button", { type: "button", class: "link group-more", hidden: true, on: { click: () => this.showAll() } });
    const name = el("button", { type: "button", class: "group-name", title: video.path, on: { click: () => open(this.cards[0].moment) } }, video.name);
    const facts = [shortFolder(video.folder), lengthOf(video.duration_seconds), video.partial ? "indexed only in part" : ""].filter(Boolean).join(" · ");
    const offline = video.online ? null : el("span", { class: "tag", title: "The file is not there; its drive may not be connected" }, icon("offline"), "offline");
    const head = el("header", { class: "group-head" }, el("h2", {}, name), el("p", {}, facts), offline, this.strip);
    this.root = el("section", { class: "group", aria: { label: video.name } }, head, this.list, this.more);
  }

  add(card) {
    this.cards.push(card);
    this.list.append(card);
    this.#mark(card.moment, this.cards.length);
    card.hidden = !this.isOpen && this.cards.length > GROUP_CARDS;
    const rest = this.cards.length - GROUP_CARDS;
    this.more.hidden = this.isOpen || rest <= 0;
    this.more.textContent = `${counted(rest, "more moment")} in this video`;
  }

  showAll() {
    this.isOpen = true;
    this.more.hidden = true;
    for (const card of this.cards) card.hidden = false;
    find(".card-open", this.cards[GROUP_CARDS]).focus();
  }

  /** Where the moment is in the video; the first is the strongest. */
  #mark({ start_seconds: start, end_seconds: end }, place) {
    const mark = el("span", {});
    mark.style.opacity = String(Math.max(0.18, 1.2 / (place + 0.2) ** 1.2));
    const whole = Math.max(this.video.duration_seconds, 0.1);
    mark.style.left = `${(100 * start) / whole}%`;
    mark.style.width = `${(100 * (end - start)) / whole}%`;
    this.strip.append(mark);
  }
}

/** A still that loads when it is near the screen; a film sign where there is none. */
export function still(address) {
  const picture = el("img", { src: address, alt: "", loading: "lazy", decoding: "async", width: 320, height: 180 });
  const frame = el("span", { class: "still-frame" }, icon("film"), picture);
  picture.addEventListener("error", () => picture.remove());
  return frame;
}

/** The last two parts of a folder's path; the whole one stands in the title. */
export const shortFolder = (folder) => folder.split("/").filter(Boolean).slice(-2).join("/");

/** Whether the player stands beside the list (and not over it). */
export const isDocked = () => matchMedia("(min-width: 1000px)").matches;

export const keyOf = ({ video_id: id, start_seconds: start, end_seconds: end }) => `${id}:${start.toFixed(3)}:${end.toFixed(3)}`;

/** Sideways: the neighbour in order; up and down: the nearest in the next row. */
function nextCard(cards, at, key) {
  if (key === "ArrowLeft") return cards[at - 1];
  if (key === "ArrowRight") return cards[at + 1];
  const from = cards[at].getBoundingClientRect();
  const direction = key === "ArrowDown" ? 1 : -1;
  const beyond = cards
    .map((card) => ({ card, box: card.getBoundingClientRect() }))
    .filter(({ box }) => direction * (box.top - from.top) > 10);
  if (!beyond.length) return undefined;
  const row = Math.min(...beyond.map(({ box }) => direction * (box.top - from.top)));
  const inRow = beyond.filter(({ box }) => Math.abs(direction * (box.top - from.top) - row) < 10);
  return inRow.reduce((best, one) => (Math.abs(one.box.left - from.left) < Math.abs(best.box.left - from.left) ? one : best)).card;
}
