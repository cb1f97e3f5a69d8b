// What one endpoint says of a picture, laid out: classes with bars, outlines, objects, times. Or why it says nothing.

import { element } from "./elements.js";
import { objects, outlines } from "./shape_tables.js";
import { counted, duration, percent, problemWords } from "./words.js";

const TITLES = { predict: "Class", segment: "Outlines", detect: "Objects" };
const MOST_CLASSES = 12; // more are folded away

/**
 * Lays out an answer.
 *
 * shapes: those of it. look: `choose(shape)` has one stand out or, a second time, none, and returns which it is;
 * `peek(shape)` does so while a row is pointed at, with null for none.
 */
export function answerPart(api, result, shapes, look) {
  const { answer } = result;
  const parts = [element("h2", {}, TITLES[api])];
  if (answer.abstained) parts.push(unsureNote(answer));
  if (api !== "predict") parts.push(api === "segment" ? outlines(answer, shapes, look) : objects(answer, shapes, look));
  parts.push(
    api === "predict"
      ? classes(answer)
      : folded(`Its class of the picture: ${answer.label}, ${percent(answer.probability)}`, classes(answer)),
  );
  parts.push(folded("Times and request", times(result)));
  return element("section", { class: "finding", "data-api": api, "aria-label": TITLES[api] }, parts);
}

/**
 * Says what an endpoint has not answered yet, or why it does not.
 *
 * isShared: whether it is the same with all endpoints. onAgain: asks once more.
 */
export function problemPart(api, result, isShared, onAgain) {
  const title = isShared ? "Answer" : TITLES[api];
  const part = (...content) =>
    element("section", { class: "finding", "data-api": api, "aria-label": title }, element("h2", {}, title), content);
  if (result.state !== "failed" && result.state !== "stopped") {
    const words =
      { waiting: "Waits for its turn.", asking: "Is being looked at…" }[result.state] ??
      `The service is busy. Asked again in ${counted(result.seconds, "second")} (try ${result.tried}).`;
    return part(element("p", { class: "soft" }, words));
  }
  const {
    title: what,
    advice,
    again,
  } = result.state === "stopped"
    ? { title: "You stopped it", advice: "It was not answered.", again: true }
    : problemWords(result.problem.code);
  const button = again ? element("button", { type: "button" }, "Try again") : null;
  button?.addEventListener("click", onAgain);
  const own = result.problem?.message
    ? folded(
        "What the service said",
        element(
          "div",
          {},
          element("p", {}, result.problem.message),
          facts([
            ["Code", result.problem.code],
            ["Request id", result.problem.requestId],
          ]),
        ),
      )
    : null;
  return part(
    element(
      "div",
      { class: "problem" },
      element("p", {}, element("b", {}, what)),
      element("p", {}, advice),
      button,
      own,
    ),
  );
}

function unsureNote(answer) {
  const limit =
    answer.abstain_below === null || answer.abstain_below === undefined
      ? ""
      : ` It is relied on from ${percent(answer.abstain_below)}.`;
  const text = `Not sure: ${answer.label} is the most probable, at ${percent(answer.probability)}.${limit}`;
  return element("p", { class: "unsure-note" }, text);
}

function classes(answer) {
  const rows = Object.entries(answer.probabilities)
    .sort((a, b) => b[1] - a[1])
    .map(([name, share]) => classRow(name, share, answer));
  const table = (some) =>
    element("table", { class: "bars", "aria-label": "Probability of each class" }, element("tbody", {}, some));
  if (rows.length <= MOST_CLASSES) return table(rows);
  return element(
    "div",
    {},
    table(rows.slice(0, MOST_CLASSES)),
    folded(`${rows.length - MOST_CLASSES} more classes`, table(rows.slice(MOST_CLASSES))),
  );
}

function classRow(name, share, answer) {
  const bar = element("span", { class: "bar" }, element("i", {}));
  bar.firstChild.style.inlineSize = `${share * 100}%`;
  if (answer.abstain_below) {
    const mark = element("u", {});
    mark.style.insetInlineStart = `${answer.abstain_below * 100}%`;
    bar.append(mark);
  }
  const isFirst = name === answer.label;
  return element(
    "tr",
    { class: isFirst && "first" },
    element("th", { scope: "row" }, name),
    element("td", { class: "bar-cell", "aria-hidden": "true" }, bar),
    element("td", { class: "number" }, percent(share)),
  );
}

function times({ stages, requestId, answer }) {
  const total = stages.find(([stage]) => stage === "total")?.[1] ?? Math.max(1, ...stages.map(([, ms]) => ms));
  const rows = stages.map(([stage, ms]) => {
    const bar = element("span", { class: "bar" }, element("i", {}));
    bar.firstChild.style.inlineSize = `${Math.min(100, (ms / total) * 100)}%`;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, stage),
      element("td", { class: "bar-cell", "aria-hidden": "true" }, bar),
      element("td", { class: "number" }, duration(ms)),
    );
  });
  const table = element(
    "table",
    { class: "bars times", "aria-label": "Time of each stage" },
    element("tbody", {}, rows),
  );
  return element(
    "div",
    {},
    table,
    facts([
      ["Request id", requestId],
      ["Model", answer.model.name],
      ["Version", answer.model.version],
    ]),
  );
}

function facts(pairs) {
  return element(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value)
      .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

function folded(title, content) {
  return element("details", {}, element("summary", {}, title), content);
}
