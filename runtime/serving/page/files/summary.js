// What is said of a picture in a few words, and which shapes lie over it. Pure functions.

import { decodeCounts, outlinesOf } from "./masks.js";
import { counted, percent, problemWords } from "./words.js";

const UNDER_WAY = ["asking", "busy", "waiting"];

/** Tells whether asking once more may give the answer that is not there. */
export function mayBeAskedAgain(result) {
  return result.state === "stopped" || (result.state === "failed" && problemWords(result.problem.code).again);
}

/** The groups that are no class, as they are written and filtered by. */
export const UNSURE = "Not sure";
export const FAILED = "No answer";
export const PENDING = "In work";
export const NOT_ASKED = "Not asked";

/**
 * Sums up the results of one picture: `{group, title, note}`.
 *
 * results: by endpoint; asks: the endpoints that count, the first with an answer says the class. group: what the picture
 * is sorted under, the class or one of the groups above.
 */
export function summaryOf(results, asks) {
  const own = asks.map((api) => results[api]).filter(Boolean);
  const broken = own.find((result) => result.state === "failed" || result.state === "stopped");
  const pending = UNDER_WAY.find((state) => own.some((result) => result.state === state));
  const answer = own.find((result) => result.answer)?.answer;
  if (broken) {
    const title = broken.state === "stopped" ? "Stopped" : problemWords(broken.problem.code).title;
    return { group: FAILED, title, note: answer ? "the rest is answered" : "" };
  }
  if (pending)
    return { group: PENDING, title: { asking: "Asking…", busy: "Busy, waits…", waiting: "Waits" }[pending], note: "" };
  if (!answer) return { group: NOT_ASKED, title: NOT_ASKED, note: "" };
  const parts = [percent(answer.probability), ...own.map((result) => foundIn(result.answer))].filter(Boolean);
  if (answer.abstained) return { group: UNSURE, title: UNSURE, note: [`${answer.label}?`, ...parts].join(" · ") };
  return { group: answer.label, title: answer.label, note: parts.join(" · ") };
}

function foundIn(answer) {
  if (answer?.num_regions) return counted(answer.num_regions, "outline");
  return answer?.detections?.length ? counted(answer.detections.length, "object") : "";
}

/**
 * Returns the shapes of an answer: `{mark, label, score, colour, lines, box}`, in pixels of the upright picture.
 *
 * Outlines are numbered, objects have letters. `lines` is null where there is no mask, `box` is left, top, right, bottom.
 */
export function shapesOf(answer) {
  const outlines = (answer.regions ?? []).map((region, place) => ({
    mark: String(place + 1),
    label: region.label,
    score: region.score,
    colour: region.class_id,
    lines: linesOf(region.mask),
    box: [region.box.left, region.box.top, region.box.right, region.box.bottom],
    isBox: false,
  }));
  const objects = (answer.detections ?? []).map((found, place) => ({
    mark: lettered(place),
    label: found.class_name,
    score: found.score,
    colour: found.class_id,
    lines: found.mask_rle ? linesOf(found.mask_rle) : null,
    box: [found.box.x1, found.box.y1, found.box.x2, found.box.y2],
    isBox: true,
  }));
  return [...outlines, ...objects];
}

function linesOf(mask) {
  return outlinesOf(decodeCounts(mask.counts), mask.size[0]);
}

/** Counts as spreadsheets name columns: A to Z, then AA. */
export function lettered(place) {
  const last = String.fromCharCode(65 + (place % 26));
  return place < 26 ? last : lettered(Math.floor(place / 26) - 1) + last;
}
