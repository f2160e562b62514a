/**
 * Pictures to search by. The server forgets an upload after a while; the page keeps a small copy for the session
 * (and for good where a saved search needs it), so that a reload or a saved search can send it again.
 */

import * as api from "./api.js";

/** Models look at a few hundred pixels; more would only take longer to send. */
const LONGEST_SIDE = 768;
const KEY = "vclipper:picture:";

/** Send a picture file; returns its id. */
export async function upload(file) {
  const small = await shrunk(file).catch(() => file); // a format that only the server reads
  const { image_id: id } = await api.uploadImage(small, file.name || "picture.jpg");
  await remember(id, small);
  return id;
}

/** The address of a small copy; empty when there is none. */
export function copyOf(id) {
  return sessionStorage.getItem(KEY + id) ?? localStorage.getItem(KEY + id) ?? "";
}

/** Keep the copies of these pictures after the session. */
export function keepForGood(ids) {
  for (const id of ids) {
    const copy = copyOf(id);
    if (copy) attempt(() => localStorage.setItem(KEY + id, copy));
  }
}

/** Forget pictures that were kept for good. */
export function forget(ids) {
  for (const id of ids) localStorage.removeItem(KEY + id);
}

/** Send the pictures of a search again; returns the search with their new ids, or null where a copy is missing. */
export async function revived(search) {
  if (!search.pictures.length || !search.pictures.every(({ id }) => copyOf(id))) return null;
  const pictures = [];
  for (const { id, sign } of search.pictures) pictures.push({ sign, id: await upload(await blobOf(copyOf(id))) });
  return { ...search, pictures };
}

async function shrunk(file) {
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  const share = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * share));
  canvas.height = Math.max(1, Math.round(picture.height * share));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // transparent places are white, as on a page
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

async function remember(id, blob) {
  const address = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.readAsDataURL(blob);
  });
  attempt(() => sessionStorage.setItem(KEY + id, address));
}

/** A data: address as a file. `fetch` would need a wider content security policy. */
async function blobOf(address) {
  const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: /^data:([^;,]+)/.exec(address)?.[1] });
}

function attempt(store) {
  try {
    store();
  } catch {
    // The store is full: the picture works until the server forgets it.
  }
}
