// Tables of what lies over a picture; each row's mark has its shape stand out.

import { colourOf } from "./drawing.js";
import { element } from "./elements.js";
import { counted, percent, whyNot } from "./words.js";

const MOST_ROWS = 50;

/** Lists the outlines of an answer of `/segment`; look as in `answerPart`. */
export function outlines(answer, shapes, look) {
  if (!answer.regions.length) return element("p", {}, "Nothing is outlined.");
  const share = answer.regions.reduce((sum, region) => sum + region.area_share, 0);
  const rows = shapes
    .slice(0, MOST_ROWS)
    .map((shape, place) =>
      shapeRow(shape, [percent(shape.score), `${answer.regions[place].area_px.toLocaleString("en")} px`], look),
    );
  const summary = `${counted(answer.num_regions, "outline")}, ${percent(share)} of the picture.`;
  return shapeTable(summary, ["Score", "Area"], rows, answer.num_regions);
}

/** Lists the objects of an answer of `/detect`, with their kinds where crops are classified. */
export function objects(answer, shapes, look) {
  if (!answer.detections.length) return element("p", {}, "No object is found.");
  const named = new Map(answer.classifications.map((entry) => [entry.detection_index, entry]));
  const missed = new Map(answer.unclassified.map((entry) => [entry.detection_index, entry]));
  const hasClasses = answer.classified !== "no_classifier";
  const rows = shapes.slice(0, MOST_ROWS).map((shape, place) => {
    const cells = [percent(shape.score)];
    if (hasClasses) cells.push(kindOf(named.get(place), missed.get(place)));
    return shapeRow(shape, cells, look);
  });
  const notes = [
    ["classified", "Kinds of objects are missing"],
    ["masked", "Outlines of objects are missing"],
  ]
    .filter(([field]) => whyNot(answer[field]))
    .map(([field, words]) => element("p", { class: "unsure-note" }, `${words}: ${whyNot(answer[field])}.`));
  const table = shapeTable(
    `${counted(answer.detections.length, "object")}.`,
    hasClasses ? ["Score", "Kind"] : ["Score"],
    rows,
    answer.detections.length,
  );
  return element("div", {}, notes, table);
}

function kindOf(entry, missed) {
  if (entry) return `${entry.class_name}${entry.abstained ? "?" : ""} ${percent(entry.score)}`;
  const why = whyNot(missed?.reason);
  return why ? `none: ${why}` : "none";
}

function shapeTable(summary, columns, rows, number) {
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Mark"),
    element("th", { scope: "col" }, "What"),
    columns.map((name) => element("th", { scope: "col", class: "number" }, name)),
  );
  const more =
    number > rows.length
      ? element("p", { class: "soft" }, `${number - rows.length} more are in the results as JSON.`)
      : null;
  return element(
    "div",
    {},
    element("p", {}, summary),
    element("table", { class: "shapes" }, element("thead", {}, head), element("tbody", {}, rows)),
    more,
  );
}

function shapeRow(shape, cells, look) {
  const button = element(
    "button",
    {
      type: "button",
      class: "mark",
      "aria-pressed": "false",
      "aria-label": `Show ${shape.mark}, ${shape.label}, in the picture`,
    },
    shape.mark,
  );
  button.style.setProperty("--colour", colourOf(shape.colour));
  const row = element(
    "tr",
    {},
    element("td", {}, button),
    element("th", { scope: "row" }, shape.label),
    cells.map((text) => element("td", { class: "number" }, text)),
  );
  button.addEventListener("click", () => {
    const chosen = look.choose(shape) === shape;
    for (const other of row.closest("#findings").querySelectorAll(".mark")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(chosen));
  });
  row.addEventListener("pointerenter", () => look.peek(shape));
  row.addEventListener("pointerleave", () => look.peek(null));
  return row;
}
