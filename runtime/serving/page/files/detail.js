// One picture and all that is said of it.

import { drawShapes } from "./drawing.js";
import { byId, element, setText } from "./elements.js";
import { answerPart, problemPart } from "./findings.js";
import { fileSize } from "./words.js";

/** Shows an item, and again when something of it changed. `onAgain(item)` asks what has no answer once more. */
export class Detail {
  #item = null;
  #url = "";
  #chosen = null; // the shape that stands out
  #isShown = true; // whether the picture can be shown
  #parts = new Map(); // endpoint -> what was shown of it
  #picture = byId("picture");
  #over = byId("over");
  #onAgain;

  constructor(onAgain) {
    this.#onAgain = onAgain;
    this.#picture.addEventListener("load", () => this.#loaded());
    this.#picture.addEventListener("error", () => this.#failed());
    byId("with-shapes").addEventListener("change", () => this.#draw());
    byId("actual-size").addEventListener("change", () => this.#resize());
    new ResizeObserver(() => this.#draw()).observe(byId("stage"));
  }

  /** Shows an item; null for none. */
  show(item, asks) {
    if (item !== this.#item) this.#open(item);
    if (item) this.#fill(item, asks);
  }

  #open(item) {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#item = item;
    this.#chosen = null;
    this.#parts.clear();
    byId("findings").replaceChildren();
    this.#url = item ? URL.createObjectURL(item.file) : "";
    this.#isShown = true;
    byId("not-shown").hidden = true;
    if (item) this.#picture.src = this.#url;
    else this.#picture.removeAttribute("src");
  }

  #loaded() {
    if (!this.#item) return;
    const { naturalWidth: width, naturalHeight: height } = this.#picture;
    this.#item.size ??= { width, height }; // an answer's, if there is one: see page.js
    this.#resize();
    this.#describe(this.#item);
  }

  #failed() {
    if (!this.#item || !this.#picture.hasAttribute("src")) return;
    this.#isShown = false;
    this.#resize();
  }

  #fill(item, asks) {
    const { title, note, group } = item.summary;
    setText(byId("verdict"), title);
    setText(byId("verdict-note"), note);
    byId("headline").dataset.state = group;
    this.#describe(item);
    const shown = asks.filter((api, place) => place === 0 || !isSameProblem(item.results[api], item.results[asks[0]]));
    for (const api of [...this.#parts.keys()].filter((name) => !shown.includes(name))) {
      this.#parts.get(api).part.remove();
      this.#parts.delete(api);
    }
    const isShared = asks.length > 1 && shown.length === 1;
    shown.forEach((api, place) => this.#fillPart(item, api, place, isShared));
    this.#resize();
  }

  #fillPart(item, api, place, isShared) {
    const result = item.results[api];
    const before = this.#parts.get(api);
    if (!result || (before?.seen === result && before.isShared === isShared)) return;
    const part = result.answer
      ? answerPart(api, result, item.shapesBy[api] ?? [], {
          choose: (shape) => this.#choose(shape),
          peek: (shape) => this.#draw(shape),
        })
      : problemPart(api, result, isShared, () => this.#onAgain(item));
    if (before) before.part.replaceWith(part);
    else byId("findings").insertBefore(part, byId("findings").children[place] ?? null);
    this.#parts.set(api, { part, seen: result, isShared });
  }

  #describe(item) {
    const { size } = item;
    const pixels = size ? `${size.width} × ${size.height} pixels, ` : "";
    setText(byId("file-name"), item.name);
    setText(byId("file-facts"), `${pixels}${fileSize(item.file.size)}`);
    this.#picture.alt = `The picture ${item.name}`;
  }

  #choose(shape) {
    this.#chosen = shape === this.#chosen ? null : shape;
    this.#draw();
    return this.#chosen;
  }

  #resize() {
    const size = this.#item?.size;
    const isActual = byId("actual-size").checked;
    byId("stage").classList.toggle("actual", isActual);
    const frame = byId("frame");
    frame.hidden = !size;
    byId("not-shown").hidden = this.#isShown;
    setText(
      byId("not-shown"),
      `This browser cannot show this file.${size ? " What was found in it is drawn where it lies." : ""}`,
    );
    byId("choices").hidden = !size;
    if (!size) return;
    frame.style.setProperty("--width", size.width);
    frame.style.setProperty("--height", size.height);
    frame.classList.toggle("blank", !this.#isShown);
    this.#draw();
  }

  #draw(peeked = null) {
    const { size = null, shapes = [] } = this.#item ?? {};
    const width = byId("frame").clientWidth;
    const wanted = byId("with-shapes").checked && size && width && shapes.length;
    byId("shapes-choice").hidden = !shapes.length;
    this.#over.hidden = !wanted;
    if (!wanted) return;
    drawShapes(this.#over, size, width, shapes, { chosen: peeked ?? this.#chosen });
    const names = shapes
      .slice(0, 20)
      .map((shape) => `${shape.mark} ${shape.label}`)
      .join(", ");
    this.#over.setAttribute("aria-label", `Drawn over the picture: ${names}`);
  }
}

/** Tells whether two endpoints refuse a picture for the same reason, which is said once. */
function isSameProblem(one, other) {
  return (
    one?.state === other?.state &&
    (one?.state === "stopped" || (one?.state === "failed" && one.problem.code === other.problem.code))
  );
}
