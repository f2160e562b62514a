/** The arithmetic of a time axis: views, ticks, curves thinned to pixels. Nothing here touches the document. */

import { clamp, timecode } from "./format.js";

/** A view shows the seconds from `start` to `end`. */
export const wholeOf = (duration) => ({ start: 0, end: Math.max(duration, 0.001) });

export const spanOf = (view) => view.end - view.start;

export const toX = (seconds, view, width) => ((seconds - view.start) / spanOf(view)) * width;

export const toSeconds = (x, view, width) => view.start + (x / width) * spanOf(view);

/** `view` made `factor` times as long around a time that stays in place, within [0, duration]. */
export function zoomed(view, factor, around, duration, shortest) {
  const span = clamp(spanOf(view) * factor, Math.min(shortest, duration), duration);
  const share = (around - view.start) / spanOf(view);
  return within(around - share * span, span, duration);
}

/** `view` moved by some seconds, within [0, duration]. */
export const moved = (view, seconds, duration) => within(view.start + seconds, spanOf(view), duration);

/** A view around a window, `margin` times the window's length on either side. */
export function around(window, duration, margin, shortest) {
  const length = window.end - window.start;
  const span = Math.min(Math.max(length * (1 + 2 * margin), shortest), duration);
  return within((window.start + window.end) / 2 - span / 2, span, duration);
}

function within(start, span, duration) {
  const first = clamp(start, 0, duration - span);
  return { start: first, end: first + span };
}

const STEPS = [0.04, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];

/** Round times for an axis, at most one every `room` pixels: [{seconds, label}]. */
export function ticks(view, width, room = 76) {
  const least = (spanOf(view) * room) / Math.max(width, 1);
  const step = STEPS.find((seconds) => seconds >= least) ?? STEPS.at(-1);
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
  const found = [];
  for (let i = Math.ceil(view.start / step); i * step <= view.end + 1e-9; i += 1) {
    found.push({ seconds: i * step, label: timecode(i * step, digits) });
  }
  return found;
}

/** [lowest, highest] of an array; [0, 1] of an empty one. */
export function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/**
 * A curve as the points of a line: a value stands in the middle of its period. Where several values share a pixel
 * their lowest and highest are kept, so that no peak of a long video is lost: [{x, y}] with y in 0..1 upwards.
 */
export function linePoints(values, period, view, width, [low, high]) {
  const scale = high > low ? 1 / (high - low) : 0;
  const first = clamp(Math.floor(view.start / period) - 1, 0, values.length - 1);
  const last = clamp(Math.ceil(view.end / period) + 1, 0, values.length - 1);
  const points = [];
  let column = null;
  for (let i = first; i <= last; i += 1) {
    const x = toX((i + 0.5) * period, view, width);
    const y = (values[i] - low) * scale;
    if (column && Math.floor(x) === column.pixel) {
      column.low = Math.min(column.low, y);
      column.high = Math.max(column.high, y);
      column.last = y;
    } else {
      close(column, points);
      column = { pixel: Math.floor(x), x, low: y, high: y, first: y, last: y };
    }
  }
  close(column, points);
  return points;
}

function close(column, points) {
  if (!column) return;
  const { x, low, high, first, last } = column;
  for (const y of new Set([first, low, high, last])) points.push({ x, y });
}

/** The value of the period that a time lies in, or undefined. */
export const valueAt = (values, period, seconds) => values?.[clamp(Math.floor(seconds / period), 0, values.length - 1)];
