/** What stands where results would: the start page, the empty library, nothing found, an error. */

import * as api from "./api.js";
import { el, icon } from "./dom.js";
import { counted, duration as lengthOf } from "./format.js";
import { still } from "./results.js";

const VIDEOS_PER_PAGE = 24;
const EXAMPLES = ["a dog runs into the sea", "a person opens a door", '"a red car" - "snow"', '"a dog" then "a cat" within 30 s'];
const DRAWN_EXAMPLES = ["a red rocket in space", "a rainbow in a meadow", "the moon in the mountains at night", '"a fish" + "under water"'];

const action = ([label, run], i) =>
  el("button", { type: "button", class: i ? "button" : "button primary", on: { click: run } }, label);

/** A message in the middle: a title, sentences, and what can be done as [label, run]. */
export function message({ sign = "search", title, lines = [], actions = [], code = "" }) {
  return el(
    "div",
    { class: "message" },
    icon(sign),
    el("h2", {}, title),
    ...lines.map((line) => el("p", {}, line)),
    code ? el("pre", {}, el("code", {}, code)) : null,
    actions.length ? el("div", { class: "message-actions" }, ...actions.map(action)) : null,
  );
}

/** What the server says is wrong, and what to do next. */
export function errorMessage({ message: what, hint }, actions) {
  const title = what[0].toUpperCase() + what.slice(1);
  const shown = message({ sign: "warning", title, lines: [hint].filter(Boolean), actions });
  shown.setAttribute("role", "alert");
  return shown;
}

/** The start page: what the library holds, examples to try, its videos. */
export function startPage(library, { onExample, onVideo, onError }) {
  const examples = library.demo_only ? DRAWN_EXAMPLES : EXAMPLES;
  const grid = el("div", { class: "cards films" });
  const foot = el("div", { class: "results-foot" });
  showVideos(1, grid, foot, onVideo).catch(onError);
  return el(
    "div",
    { class: "start" },
    el("h1", {}, "Find the moment."),
    el("p", { class: "lead" }, `Say what is to be seen, or drop a picture. This library holds ${counted(library.videos, "video")}, ${lengthOf(library.video_seconds)} in all.`),
    el("p", { class: "examples" }, ...examples.map((text) => el("button", { type: "button", class: "example", on: { click: () => onExample(text) } }, text))),
    el("h2", { class: "section" }, "In the library"),
    grid,
    foot,
  );
}

async function showVideos(page, grid, foot, onVideo) {
  const answer = await api.videos(page, VIDEOS_PER_PAGE);
  grid.append(...answer.videos.map((video) => filmCard(video, onVideo)));
  const more = el("button", { type: "button", class: "button" }, "Show more videos");
  more.addEventListener("click", () => showVideos(page + 1, grid, foot, onVideo));
  foot.replaceChildren(...(page < answer.pages ? [more] : []));
}

function filmCard(video, onVideo) {
  const picture = still(api.thumbnail(video.video_id, video.duration_seconds / 3));
  const label = `${video.name}, ${lengthOf(video.duration_seconds)}${video.online ? "" : ", offline"}`;
  return el(
    "article",
    { class: "card" },
    el("button", { type: "button", class: "card-open", aria: { label }, on: { click: () => onVideo(video) } },
      picture,
      el("span", { class: "card-time" }, lengthOf(video.duration_seconds)),
      video.online ? null : el("span", { class: "card-flag" }, icon("offline"), "offline")),
    el("p", { class: "card-name", title: video.path }, video.name),
  );
}

/** Nothing answers the query: what to try, most likely first. */
export function nothingFound(search, { onFewerWords, onShowAll, onClearFilters, onResetSettings }) {
  const words = search.text.trim().split(/\s+/).filter(Boolean);
  const showsAll = search.settings.min_score !== undefined && search.settings.min_score <= -100;
  const hasFilters = Object.keys(search.filters).length > 0;
  const actions = [];
  if (hasFilters) actions.push(["Search all videos", onClearFilters]);
  if (!showsAll) actions.push(["Show weaker matches", onShowAll]);
  if (words.length > 2 && !/["“]/.test(search.text)) actions.push(["Use fewer words", onFewerWords]);
  if (Object.keys(search.settings).length) actions.push(["Reset the settings", onResetSettings]);
  const lines = ["Nothing in the library stands out for this search."];
  if (hasFilters) lines.push("Only the videos that the filters let through were searched.");
  lines.push("Say what can be seen, in a few plain words: “red car at night” works better than a name or a story.");
  return message({ title: "Nothing found", lines, actions });
}
