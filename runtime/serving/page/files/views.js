// The page's two views, pictures and model: one is shown at a time, by the part of the address behind `#`.

import { byId } from "./elements.js";

const VIEWS = ["pictures", "model"];

/** Shows the view that the address names, and follows it. */
export function showViews() {
  show(false);
  window.addEventListener("hashchange", () => show(true));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId(`view-${document.body.dataset.view}`).focus();
  });
}

function show(focuses) {
  const wanted = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : VIEWS[0];
  for (const view of VIEWS) {
    byId(`view-${view}`).hidden = view !== wanted;
    const link = byId(`to-${view}`);
    if (view === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = wanted;
  window.scrollTo(0, 0);
  if (focuses) byId(`view-${wanted}`).focus({ preventScroll: true });
}
