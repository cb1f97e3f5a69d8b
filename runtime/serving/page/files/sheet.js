// The sheet: a tile for each picture, a list of one choice that is walked with the arrow keys, filtered by what was said.

import { drawShapes } from "./drawing.js";
import { byId, element, setText } from "./elements.js";
import { FAILED, NOT_ASKED, PENDING, UNSURE } from "./summary.js";
import { thumbnailOf } from "./thumbnails.js";

const ALL = "All";
const STATES = { [FAILED]: "failed", [UNSURE]: "unsure", [PENDING]: "pending", [NOT_ASKED]: "pending" };
const TILE_WIDTH = 160; // CSS pixels that outlines are drawn for

/** Shows items, `{id, name, file, summary, shapes, size}`; `onChoose(item)` hears which one is looked at. */
export class Sheet {
  #tiles = new Map();
  #list = byId("sheet");
  #chips = byId("chips");
  #onChoose;
  #filter = ALL;
  #chosen = null;

  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.#list.addEventListener("keydown", (event) => this.#walk(event));
  }

  add(item) {
    const picture = element("span", { class: "thumb" });
    const title = element("b", {});
    const note = element("span", { class: "note" });
    const name = element("span", { class: "name", title: item.name }, item.name);
    const tile = element(
      "li",
      { role: "option", "aria-selected": "false", tabindex: "-1", id: `tile-${item.id}` },
      picture,
      title,
      note,
      name,
    );
    tile.addEventListener("click", () => this.#onChoose(item));
    this.#tiles.set(item, { tile, picture, title, note, group: "" });
    this.#list.append(tile);
    thumbnailOf(item.file).then((small) => {
      item.thumbnail = small;
      const kind = item.name.includes(".") ? item.name.split(".").pop().toUpperCase() : "file";
      picture.replaceChildren(
        small
          ? element("span", { class: "stack" }, small)
          : element("span", { class: "no-thumb", "aria-hidden": "true" }, kind),
      );
      this.update(item);
    });
  }

  update(item) {
    const own = this.#tiles.get(item);
    if (!own) return;
    const { title, note, group } = item.summary;
    setText(own.title, title);
    setText(own.note, note);
    own.group = group;
    own.tile.dataset.state = STATES[group] ?? "done";
    own.tile.hidden = this.#filter !== ALL && group !== this.#filter && item !== this.#chosen;
    if (item.thumbnail) this.#drawOver(own.picture, item);
  }

  remove(item) {
    this.#tiles.get(item)?.tile.remove();
    this.#tiles.delete(item);
    if (this.#chosen === item) this.#chosen = null;
  }

  /** Marks an item as the one that is looked at. focuses: whether the keyboard follows. */
  choose(item, focuses = false) {
    const before = this.#tiles.get(this.#chosen);
    before?.tile.setAttribute("aria-selected", "false");
    before?.tile.setAttribute("tabindex", "-1");
    this.#chosen = item;
    const own = this.#tiles.get(item);
    own?.tile.setAttribute("aria-selected", "true");
    own?.tile.setAttribute("tabindex", "0");
    if (focuses) own?.tile.focus();
    own?.tile.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Writes the filters anew, from the summaries of all items. */
  count() {
    const numbers = new Map();
    for (const { group } of this.#tiles.values()) numbers.set(group, (numbers.get(group) ?? 0) + 1);
    const last = [UNSURE, FAILED, PENDING, NOT_ASKED].filter((group) => numbers.has(group));
    const classes = [...numbers.keys()]
      .filter((group) => !last.includes(group))
      .sort((a, b) => numbers.get(b) - numbers.get(a));
    if (this.#filter !== ALL && !numbers.has(this.#filter)) this.#setFilter(ALL);
    const wanted = [[ALL, this.#tiles.size], ...[...classes, ...last].map((group) => [group, numbers.get(group)])];
    const before = new Map([...this.#chips.children].map((chip) => [chip.dataset.group, chip]));
    const chips = wanted.map(([group, number]) => this.#chip(before.get(group), group, number));
    // A chip that is there stays: replaced, it would lose the keyboard's focus.
    if (chips.some((chip, place) => this.#chips.children[place] !== chip) || before.size !== chips.length) {
      const focused = document.activeElement;
      this.#chips.replaceChildren(...chips);
      if (chips.includes(focused)) focused.focus();
    }
  }

  #chip(before, group, number) {
    const chip =
      before ??
      element(
        "button",
        { type: "button", class: "chip", "data-group": group },
        element("span", {}, group),
        element("b", {}),
      );
    if (!before) chip.addEventListener("click", () => this.#setFilter(group));
    setText(chip.lastChild, String(number));
    chip.setAttribute("aria-pressed", String(group === this.#filter));
    return chip;
  }

  #setFilter(group) {
    this.#filter = group;
    for (const chip of this.#chips.children) chip.setAttribute("aria-pressed", String(chip.dataset.group === group));
    for (const [item, own] of this.#tiles) own.tile.hidden = group !== ALL && own.group !== group;
    const shown = [...this.#tiles.keys()].filter((item) => !this.#tiles.get(item).tile.hidden);
    if (shown.length && !shown.includes(this.#chosen)) this.#onChoose(shown[0]);
  }

  #walk(event) {
    const shown = [...this.#tiles].filter(([, own]) => !own.tile.hidden);
    const at = shown.findIndex(([item]) => item === this.#chosen);
    const top = shown[0]?.[1].tile.offsetTop;
    const across = Math.max(1, shown.filter(([, own]) => own.tile.offsetTop === top).length);
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: across,
      ArrowUp: -across,
      Home: -at,
      End: shown.length - 1 - at,
    };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = shown[at + steps[event.key]];
    if (next) this.#onChoose(next[0], true);
  }

  #drawOver(picture, item) {
    const over = picture.querySelector("canvas.over") ?? element("canvas", { class: "over" });
    if (!item.shapes.length || !item.size) {
      over.remove();
      return;
    }
    const { width, height } = item.thumbnail;
    drawShapes(over, item.size, TILE_WIDTH * Math.min(1, width / height), item.shapes, { withMarks: false });
    if (!over.isConnected) picture.firstChild.append(over);
  }
}
