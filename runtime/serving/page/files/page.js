// The page: pictures come in, are asked about, and their answers are shown, counted and handed out.

import { Problem, ask } from "./asking.js";
import { Detail } from "./detail.js";
import { byId, setText } from "./elements.js";
import { listen } from "./intake.js";
import { Queue } from "./queue.js";
import { Sheet } from "./sheet.js";
import { FAILED, NOT_ASKED, PENDING, UNSURE, mayBeAskedAgain, shapesOf, summaryOf } from "./summary.js";
import { toCsv } from "./table.js";
import { showViews } from "./views.js";
import { counted, fileSize, leftOutWords } from "./words.js";

const served = JSON.parse(byId("served").textContent);
const MOST_AT_ONCE = 4; // requests under way: a page leaves room for others
const SAY_EVERY_MS = 4000; // to screen readers, while it runs

const items = [];
const changed = new Set();
let chosen = null;
let nextId = 1;
let lastSaidAt = 0;

const queue = new Queue(MOST_AT_ONCE, work, sayOutcome);
const sheet = new Sheet(choose);
const detail = new Detail((item) => askAgain([item]));

/** The endpoints that are asked, in order. */
function asks() {
  return served.asks.filter((api) => byId(`ask-${api}`)?.checked ?? true);
}

function take({ files, leftOut }) {
  const added = files.map((file) => {
    const name = file.pathInFolder ?? file.name;
    const item = { id: nextId, name, file, results: {}, shapesBy: {}, shapes: [], size: null, thumbnail: null };
    nextId += 1;
    item.summary = summaryOf(item.results, asks());
    return item;
  });
  items.push(...added);
  for (const item of added) sheet.add(item);
  if (added.length) say(`${counted(added.length, "picture")} added`, true);
  setText(byId("left-out"), leftOutWords(leftOut));
  askFor(added);
  if (added.length && (!chosen || added.length === 1)) choose(added[0]);
  if (added.length && queue.isIdle) sayOutcome(); // none could be asked about
}

function askFor(some) {
  const tasks = [];
  for (const item of some) {
    for (const api of asks()) {
      if (item.results[api]) continue;
      if (item.file.size > served.maxBodyBytes) setResult(item, api, { state: "failed", problem: tooLarge(item.file) });
      else {
        setResult(item, api, { state: "waiting" });
        tasks.push({ item, api });
      }
    }
  }
  queue.add(tasks);
}

function tooLarge(file) {
  const message = `The file has ${fileSize(file.size)}, and the service takes up to ${fileSize(served.maxBodyBytes)}.`;
  return { code: "body_too_large", message, requestId: "" };
}

function askAgain(some) {
  for (const item of some) {
    for (const [api, result] of Object.entries(item.results)) {
      if (mayBeAskedAgain(result)) delete item.results[api];
    }
  }
  askFor(some);
}

async function work({ item, api }, signal) {
  if (!items.includes(item)) return;
  setResult(item, api, { state: "asking" });
  try {
    const found = await ask(`./${api}`, item.file, signal, (seconds, tried) =>
      setResult(item, api, { state: "busy", seconds, tried }),
    );
    item.shapesBy[api] = shapesOf(found.answer);
    setResult(item, api, { state: "done", ...found });
  } catch (error) {
    if (error instanceof Problem) setResult(item, api, { state: "failed", problem: error });
    else if (signal.aborted) setResult(item, api, { state: "stopped" });
    else setResult(item, api, { state: "failed", problem: new Problem("not_understood", String(error)) });
  }
}

function setResult(item, api, result) {
  item.results[api] = result;
  change(item);
}

/** Notes that an item is to be shown anew, with the next frame. */
function change(item) {
  if (!changed.size) requestAnimationFrame(refresh);
  changed.add(item);
}

function refresh() {
  const wanted = asks();
  const isChosenChanged = changed.has(chosen);
  for (const item of changed) {
    item.summary = summaryOf(item.results, wanted);
    item.shapes = wanted.flatMap((api) => item.shapesBy[api] ?? []);
    const answer = Object.values(item.results).find((result) => result.answer?.width)?.answer;
    if (answer) item.size = { width: answer.width, height: answer.height };
    sheet.update(item);
  }
  changed.clear();
  sheet.count();
  // Only then: drawn anew for the others' sake, it would forget which row is pointed at.
  if (isChosenChanged) detail.show(chosen, wanted);
  showState();
}

function showState() {
  const hasAny = items.length > 0;
  document.body.classList.toggle("empty", !hasAny);
  document.body.classList.toggle("single", items.length === 1);
  const ended = items.filter((item) => item.summary.group !== PENDING).length;
  const isRunning = hasAny && !queue.isIdle;
  byId("run").hidden = !isRunning;
  byId("progress").max = items.length || 1;
  byId("progress").value = ended;
  setText(byId("progress-words"), `${ended} of ${items.length}`);
  byId("again").hidden = isRunning || !items.some(canBeAskedAgain);
  byId("results").hidden = !hasAny;
  if (isRunning) say(`${ended} of ${counted(items.length, "picture")} answered`);
}

function canBeAskedAgain(item) {
  return Object.values(item.results).some(mayBeAskedAgain);
}

/** Says what came out, once the summaries of the last answers are written. */
function sayOutcome() {
  requestAnimationFrame(() => items.length && say(outcome(), true));
}

function outcome() {
  if (items.length === 1) return `${items[0].summary.title}. ${items[0].summary.note}`;
  const [unsure, failed, unasked] = [UNSURE, FAILED, NOT_ASKED].map(
    (group) => items.filter((item) => item.summary.group === group).length,
  );
  const parts = [
    `${items.length - unsure - failed - unasked} answered`,
    `${unsure} not sure`,
    `${failed} without an answer`,
    unasked && `${unasked} not asked`,
  ];
  return `${counted(items.length, "picture")}: ${parts.filter(Boolean).join(", ")}`;
}

/** Tells screen readers; while it runs only now and then. */
function say(text, isNow = false) {
  const now = performance.now();
  if (!isNow && now - lastSaidAt < SAY_EVERY_MS) return;
  lastSaidAt = now;
  // What was just set shall be in it.
  requestAnimationFrame(() => setText(byId("said"), text));
}

function choose(item, focuses = false) {
  const before = chosen;
  chosen = item;
  sheet.choose(item, focuses);
  if (before) change(before);
  if (item) change(item);
}

function clear() {
  queue.stop();
  for (const item of items.splice(0)) sheet.remove(item);
  chosen = null;
  detail.show(null, asks());
  sheet.count();
  setText(byId("left-out"), "");
  showState();
  say("All pictures were taken off the page", true);
  byId("choose-first").focus();
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Returns a row for each picture and endpoint that is asked. */
function rows() {
  return items.flatMap((item) =>
    asks()
      .filter((api) => item.results[api])
      .map((api) => ({ file: item.name, asked: api, result: item.results[api] })),
  );
}

function today() {
  return new Date().toISOString().slice(0, 16).replace("T", "-").replace(":", "");
}

document.body.classList.toggle("touch", navigator.maxTouchPoints > 0);
listen(take);
showViews();
byId("stop").addEventListener("click", () => {
  for (const { item, api } of queue.stop()) setResult(item, api, { state: "stopped" });
});
byId("again").addEventListener("click", () => askAgain(items));
byId("clear").addEventListener("click", clear);
byId("csv").addEventListener("click", () => save(`answers-${today()}.csv`, "text/csv;charset=utf-8", toCsv(rows())));
byId("json").addEventListener("click", () => {
  const answered = rows().map(({ file, asked, result }) => ({
    file,
    asked,
    state: result.state,
    answer: result.answer,
    error: result.problem && { code: result.problem.code, message: result.problem.message },
    request_id: result.requestId ?? result.problem?.requestId,
    stages_ms: result.stages && Object.fromEntries(result.stages),
  }));
  save(`answers-${today()}.json`, "application/json", `${JSON.stringify(answered, null, 2)}\n`);
});
for (const api of served.asks) {
  byId(`ask-${api}`)?.addEventListener("change", () => {
    const wanted = asks();
    queue.drop((task) => !wanted.includes(task.api));
    for (const item of items) {
      for (const [name, result] of Object.entries(item.results))
        if (result.state === "waiting" && !wanted.includes(name)) delete item.results[name];
      change(item);
    }
    askFor(items);
  });
}
window.addEventListener("beforeunload", (event) => {
  if (!queue.isIdle) event.preventDefault();
});
showState();
