/** Times, lengths and counts as people read them; frames and seconds. */

const pad = (number) => String(number).padStart(2, "0");

/** 3723.45 → "1:02:03.4"; `digits` after the point, cut off and not rounded up, so that no time is shown too late. */
export function timecode(seconds, digits = 1) {
  const scale = 10 ** digits;
  const units = Math.floor(Math.max(0, seconds) * scale + 1e-6);
  const whole = Math.floor(units / scale);
  const fraction = digits ? `.${String(units % scale).padStart(digits, "0")}` : "";
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const head = hours ? `${hours}:${pad(minutes)}` : `${minutes}`;
  return `${head}:${pad(whole % 60)}${fraction}`;
}

/** "12", "1:23.5", "1:02:03" or, with frames, "00:01:23:12" → seconds; null when it is none of these. */
export function parseTime(text, frameRate) {
  const parts = text.trim().split(":");
  if (!parts.every((part, i) => (i === parts.length - 1 ? /^\d+([.,]\d*)?$/ : /^\d+$/).test(part))) return null;
  const numbers = parts.map((part) => Number(part.replace(",", ".")));
  if (numbers.length > 4) return null;
  const frames = numbers.length === 4 ? numbers.pop() : 0;
  const seconds = numbers.reduce((sum, number) => 60 * sum + number, 0);
  return frames && frameRate ? seconds + frames / frameRate : seconds;
}

/** 8 → "8 s", 95 → "1 min 35 s", 5400 → "1 h 30 min". */
export function duration(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(whole / 60);
  return joined(Math.floor(minutes / 60), "h", minutes % 60, "min");
}

const joined = (large, unit, small, smaller) => (small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`);

/** 1 → "1 moment", 2500 → "2,500 moments". */
export function counted(count, noun, plural = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}

/** The time of the frame nearest to `seconds`. */
export function snap(seconds, frameRate) {
  return frameRate > 0 ? Math.round(seconds * frameRate) / frameRate : seconds;
}

/** The number of the frame shown at `seconds`. */
export function frameAt(seconds, frameRate) {
  return Math.floor(seconds * frameRate + 1e-3);
}

export const frameSeconds = (frameRate) => (frameRate > 0 ? 1 / frameRate : 0.04);

export const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
