// Making elements. Text is always text: no HTML is made of what comes from a file or from the service.

/** Makes an element. attributes: `class`, `hidden` and others by name; false and null leave one out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Finds an element by its id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Sets a text only where it changed, so that screen readers are not told the same again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
