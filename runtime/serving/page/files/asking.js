// One picture to one endpoint: sent as it is, asked again while the service is busy, answered or refused in one form.

import { codeOfStatus, isBusy, readStages } from "./words.js";

const MOST_TRIES = 8;
const LONGEST_WAIT_S = 30;
const NO_ANSWER_MS = 120_000;
// What a file is, its bytes say: a picture is one whatever the browser takes it for.
const HEADERS = { Accept: "application/json", "Content-Type": "application/octet-stream" };

/** Why a picture has no answer: the service's code, or one of the page's own. */
export class Problem extends Error {
  constructor(code, message, requestId = "") {
    super(message);
    this.code = code;
    this.requestId = requestId;
  }
}

/**
 * Asks about a picture; returns `{answer, requestId, stages}`.
 *
 * signal: of an AbortController; whatever it aborts ends with its reason. onBusy: called with the seconds that are waited
 * before the picture is sent again, and with the number of the try. Throws Problem.
 */
export async function ask(route, file, signal, onBusy) {
  for (let tried = 1; ; tried += 1) {
    const found = await askOnce(route, file, signal);
    if (!(found instanceof Problem)) return found;
    if (!isBusy(found.code) || tried === MOST_TRIES) throw found;
    // Not all at the same moment: those who were refused together would be so again.
    const seconds = Math.min(LONGEST_WAIT_S, found.retryAfterS * (1 + Math.random() / 2));
    onBusy(Math.ceil(seconds), tried);
    await wait(seconds * 1000, signal);
  }
}

async function askOnce(route, file, signal) {
  const late = AbortSignal.timeout(NO_ANSWER_MS);
  try {
    const options = { method: "POST", body: file, headers: HEADERS };
    const response = await fetch(route, { ...options, signal: AbortSignal.any([signal, late]) });
    const requestId = response.headers.get("x-request-id") ?? "";
    const body = await response.json().catch((error) => (error instanceof SyntaxError ? null : Promise.reject(error)));
    if (!response.ok) return refusal(response, body, requestId);
    if (!Array.isArray(body) || body.length !== 1) return new Problem("not_understood", "not a list of one", requestId);
    return { answer: body[0], requestId, stages: readStages(response.headers.get("server-timing")) };
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return new Problem("no_answer", `nothing within ${NO_ANSWER_MS / 1000} s`);
    return new Problem("unreachable", String(error.message ?? error));
  }
}

function refusal(response, body, requestId) {
  const { code, message } = body?.error ?? {};
  const problem = new Problem(
    code ?? codeOfStatus(response.status),
    message ?? `HTTP status ${response.status}`,
    requestId,
  );
  problem.retryAfterS = Number(response.headers.get("retry-after")) || 1;
  return problem;
}

function wait(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
