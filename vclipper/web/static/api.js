/** The REST API, one function a request. Every failure is an ApiError or a ServerGone. */

const BASE = "/api/v1";

/** The server answered and says what is wrong, and what to do next. */
export class ApiError extends Error {
  constructor(status, { kind = "Error", message = "", hint = "" } = {}) {
    super(message || `The server answered with ${status}`);
    this.status = status;
    this.kind = kind;
    this.hint = hint;
  }
}

/** Nobody answers. */
export class ServerGone extends Error {
  constructor() {
    super("VClipper does not answer");
  }
}

async function request(method, path, { json, form, signal } = {}) {
  const headers = {};
  if (method !== "GET") headers["X-VClip"] = "1";
  if (json) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(BASE + path, { method, headers, body: json ? JSON.stringify(json) : form, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServerGone();
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  try {
    return new ApiError(response.status, (await response.json()).error);
  } catch {
    return new ApiError(response.status);
  }
}

const get = async (path, options) => (await request("GET", path, options)).json();
const post = async (path, json = {}, options = {}) => (await request("POST", path, { json, ...options })).json();

export const library = () => get("/library");
export const settings = () => get("/settings");
export const exportFormats = () => get("/export/formats");
export const search = (body, signal) => post("/search", body, { signal });
export const videos = (page, pageSize) => get(`/videos?page=${page}&page_size=${pageSize}`);
export const video = (id) => get(`/videos/${id}`);
export const timeline = (id, body, signal, points) => post(`/videos/${id}/timeline?points=${points}`, body, { signal });
export const playback = (id) => get(`/videos/${id}/playback`);
export const makeProxy = (id) => post(`/videos/${id}/proxy`);
export const startIndex = (paths) => post("/index", { paths });
export const indexRun = () => get("/index");
export const cancelIndex = () => post("/index/cancel");

/** Send a picture; the answer has its `image_id`. */
export async function uploadImage(blob, name) {
  const form = new FormData();
  form.append("file", blob, name);
  return (await request("POST", "/images", { form })).json();
}

/** The exported file, its name, and how many moments could not be exported. */
export async function exportMoments(body, signal) {
  const response = await request("POST", "/export", { json: body, signal });
  const failed = Number(response.headers.get("X-VClip-Failed") ?? 0);
  return { blob: await response.blob(), name: nameOf(response) ?? body.name, failed };
}

function nameOf(response) {
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(disposition);
  if (encoded) return decodeURIComponent(encoded[1]);
  return /filename="?([^";]+)"?/i.exec(disposition)?.[1];
}

/** The address of the still that a video shows at a time. */
export function thumbnail(videoId, seconds, width = 320) {
  return `${BASE}/videos/${videoId}/thumbnail?seconds=${Math.max(0, seconds).toFixed(2)}&width=${width}`;
}
