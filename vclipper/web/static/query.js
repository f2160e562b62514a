/**
 * A search as the page holds it, and its two other forms: the address bar's and the API's.
 *
 * {text, pictures: [{id, sign}], like: {video_id, seconds} | null, filters: {…}, settings: {…}}
 */

const FILTERS = ["folder", "min_seconds", "max_seconds", "after", "before"];
const PICTURE_TERM = /\s*(?:(?<=^\s*)|([+-])\s+)image:([\w-]+)(?=\s|$)/g;

export const emptySearch = () => ({ text: "", pictures: [], like: null, filters: {}, settings: {} });

/** Whether there is nothing to look for. */
export const isEmpty = (search) => !search.text.trim() && !search.pictures.length && !search.like;

/** The words and the pictures in the query language. */
export function queryText(search) {
  const terms = search.text.trim() ? [search.text.trim()] : [];
  for (const { id, sign } of search.pictures) {
    terms.push(terms.length === 0 && sign === "+" ? `image:${id}` : `${sign} image:${id}`);
  }
  return terms.join(" ");
}

/** What a person would call this search. */
export function describe(search) {
  if (search.like) return `like ${search.like.name ?? "this"} at ${Number(search.like.seconds.toFixed(1))} s`;
  const pictures = search.pictures.map(({ sign }) => (sign === "-" ? "not a picture" : "a picture"));
  return [search.text.trim(), ...pictures].filter(Boolean).join(" + ");
}

/** The query's part of a request: exactly one of text, image_id, like. */
export function queryBody(search) {
  if (search.like) return { like: { video_id: search.like.video_id, seconds: search.like.seconds } };
  const only = search.pictures.length === 1 && !search.text.trim() ? search.pictures[0] : null;
  return only?.sign === "+" ? { image_id: only.id } : { text: queryText(search) };
}

/** A request for moments. */
export function searchBody(search, page, pageSize) {
  return { ...queryBody(search), filters: search.filters, settings: search.settings, page, page_size: pageSize };
}

/** The search as a query string, shortest first: what is not set is not there. */
export function toParameters(search) {
  const parameters = new URLSearchParams();
  const text = queryText(search);
  if (text) parameters.set("q", text);
  if (search.like) parameters.set("like", `${search.like.video_id}@${Number(search.like.seconds.toFixed(3))}`);
  for (const [name, value] of Object.entries(search.filters)) parameters.set(name, value);
  for (const [name, value] of Object.entries(search.settings)) parameters.set(`set.${name}`, JSON.stringify(value));
  return parameters;
}

/** The search that a query string holds; what is not understood is left out. */
export function fromParameters(parameters) {
  const search = emptySearch();
  const text = parameters.get("q") ?? "";
  search.pictures = [...text.matchAll(PICTURE_TERM)].map(([, sign, id]) => ({ sign: sign ?? "+", id }));
  search.text = text.replace(PICTURE_TERM, "").trim();
  const [, videoId, seconds] = /^(\w+)@([\d.]+)$/.exec(parameters.get("like") ?? "") ?? [];
  if (videoId) search.like = { video_id: videoId, seconds: Number(seconds) };
  for (const name of FILTERS) if (parameters.get(name)) search.filters[name] = filterValue(name, parameters.get(name));
  for (const [name, value] of parameters) if (name.startsWith("set.")) setFromJson(search.settings, name.slice(4), value);
  return search;
}

const filterValue = (name, value) => (name.endsWith("_seconds") ? Number(value) : value);

function setFromJson(settings, name, value) {
  try {
    settings[name] = JSON.parse(value);
  } catch {
    // Someone edited the address: the setting keeps its default.
  }
}
