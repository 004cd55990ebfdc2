// Builds elements. Text only ever becomes a text node: nothing that a user or a model wrote is markup.

/** An element with attributes (or `on…` listeners) and children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A picture from a data URL, never from anywhere else. */
export function picture(dataUrl, alt) {
  if (!/^data:image\/(png|jpeg|webp|gif);base64,/.test(dataUrl)) return null;
  return el("img", { src: dataUrl, alt, class: "pixels", decoding: "async" });
}

/** The colour sample of a legend. */
export function swatch(color) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of [["width", 9], ["height", 9], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  for (const [name, value] of [["cx", 4.5], ["cy", 4.5], ["r", 4], ["fill", color]]) dot.setAttribute(name, value);
  svg.append(dot);
  return svg;
}
