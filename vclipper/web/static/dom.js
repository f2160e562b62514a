/** Small helpers around the document. */

/** The first element that matches, which must be there. */
export function find(selector, root = document) {
  const element = root.querySelector(selector);
  if (!element) throw new Error(`no element matches ${selector}`);
  return element;
}

/**
 * An element with properties and children. `class`, `data`, `aria` and `on` are what they say; names with a
 * dash, `role`, `for` and `list` become attributes; everything else is set as a property.
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) setProperty(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function setProperty(element, name, value) {
  if (value === undefined || value === null) return;
  if (name === "class") element.className = value;
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "aria") for (const [key, text] of Object.entries(value)) element.setAttribute(`aria-${key}`, text);
  else if (name === "on") for (const [key, listener] of Object.entries(value)) element.addEventListener(key, listener);
  else if (name.includes("-") || ["role", "for", "list"].includes(name)) element.setAttribute(name, value);
  else element[name] = value;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the pictures in icons.svg; it is decoration, so the control beside it needs a name of its own. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows a picture and tells its name to screen readers and on hover. */
export function iconButton(name, label, onClick, properties = {}) {
  const { class: extra = "", ...rest } = properties;
  return el(
    "button",
    { type: "button", class: `icon-button ${extra}`, title: label, aria: { label }, on: { click: onClick }, ...rest },
    icon(name),
  );
}

/** Whether the person is writing, so that single keys are letters and not commands. */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range", "file"].includes(target.type);
}

/** `run` a little after the last of many calls. */
export function debounced(run, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), milliseconds);
  };
}

export const wantsStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
