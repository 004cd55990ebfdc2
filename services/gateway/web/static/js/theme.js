// The colours of the style sheet, for what is drawn by script.

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Calls back when the system turns to light or dark. */
export function onThemeChange(callback) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
}

// The families of the default world keep their colour everywhere; other names take one in order.
const KNOWN = ["caption", "vqa", "draw", "align", "speech", "video"];
const others = [];

export function seriesColor(name) {
  let index = KNOWN.indexOf(name);
  if (index < 0) {
    if (!others.includes(name)) others.push(name);
    index = (KNOWN.length + others.indexOf(name)) % 6;
  }
  return color(`series-${index}`);
}
