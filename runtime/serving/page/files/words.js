// What people read: errors, shares, sizes and times in words. Pure functions, tested without a picture.

const AGAIN = "Try again in a moment.";
const OPERATOR = "Tell whoever runs this service, with the request id below.";

// By the service's error codes: docs/API.md. `again`: whether the same picture may succeed later.
const PROBLEMS = {
  empty_file: ["The file is empty", "Nothing is in it. Copy or photograph it once more."],
  unsupported_format: ["This is not a picture that can be read", "Pictures are JPEG, PNG, WebP, BMP, TIFF or AVIF."],
  corrupt_image: ["The picture is damaged", "It ends too early or was changed on its way. Copy it once more."],
  too_many_pixels: ["The picture has too many pixels", "Send a smaller one, or a part of it."],
  body_too_large: ["The file is too large", "Save it smaller, for example as a JPEG."],
  too_many_images: ["Too many pictures in one request", "Send fewer at once."],
  too_many_tiles: [
    "The picture is too large for the tiles that it is looked at in",
    "Send a smaller one, or a part of it.",
  ],
  roi_outside_image: ["The picture is smaller than the part of it that the model looks at", "Send the whole picture."],
  overloaded: ["The service is busy", "It was asked several times and had no time. " + AGAIN, true],
  inference_unavailable: ["The model is being started again", AGAIN, true],
  filters_hang: ["The service's own checks do not answer", AGAIN, true],
  deadline_exceeded: ["The answer took too long", "The service gave up on it. " + AGAIN, true],
  body_timeout: ["The picture did not arrive in time", "The connection may be slow. " + AGAIN, true],
  header_timeout: ["The request did not arrive in time", "The connection may be slow. " + AGAIN, true],
  model_output_invalid: ["The model has no answer for this picture", "What it computed is not a number. " + OPERATOR],
  filter_failed: ["A check of this service failed on the picture", OPERATOR],
  withheld: ["A check of this service withholds the answer", "What it says stands below."],
  not_checked: ["A check of this service did not end", "There is no answer without it. " + AGAIN, true],
  shutting_down: ["The service is being ended", "It may be there again in a moment. " + AGAIN, true],
  internal_server_error: ["The service failed", OPERATOR, true],
  cors_refused: ["This page may not ask that service", "Open the page of the service itself."],
  not_found: ["This service does not answer that", "It may have been changed: load the page anew."],
  method_not_allowed: ["This service does not answer that", "It may have been changed: load the page anew."],
  not_acceptable: ["The service cannot answer in this form", OPERATOR],
  unsupported_media_type: ["The service did not take the file as it was sent", OPERATOR],
  malformed_request: ["The picture did not arrive whole", AGAIN, true],
  unknown_field: ["The service did not understand the page", "It may have been changed: load the page anew."],
  no_image: ["No picture arrived", AGAIN, true],
  not_a_file: ["This is text and not a picture", "Choose the picture's file itself."],
  bad_base64: ["The picture did not arrive as it was sent", AGAIN, true],
  http_version_not_supported: ["Something between this page and the service changes the requests", OPERATOR],
  // The page's own.
  unreachable: ["The service cannot be reached", "Is it running, and is the network there? " + AGAIN, true],
  no_answer: ["The service does not answer", "Nothing came within two minutes. " + AGAIN, true],
  not_understood: ["The answer was not understood", "It is no answer of this service. " + OPERATOR],
  unauthorized: ["This service wants to know who asks", OPERATOR],
  forbidden: ["This service does not let you ask", OPERATOR],
};

// Where something in between refuses in words of its own, its status has to do.
const OF_STATUS = {
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  405: "method_not_allowed",
  408: "body_timeout",
  413: "body_too_large",
  415: "unsupported_format",
  429: "overloaded",
  502: "unreachable",
  503: "overloaded",
  504: "deadline_exceeded",
};

// What the service asks to be sent again, after the time that it states.
const BUSY = new Set(["overloaded", "inference_unavailable", "filters_hang", "shutting_down"]);

/** Says whether the service would rather be asked again later. */
export function isBusy(code) {
  return BUSY.has(code);
}

/** Returns the code that stands for an HTTP status whose answer has no code in it. */
export function codeOfStatus(status) {
  return OF_STATUS[status] ?? (status >= 500 ? "internal_server_error" : "not_understood");
}

/** Returns what a person is told of a problem: `{title, advice, again}`; `again` is whether to offer another try. */
export function problemWords(code) {
  const [title, advice, again = false] = PROBLEMS[code] ?? ["The service refused the picture", OPERATOR, true];
  return { title, advice, again };
}

/** Returns the codes that have words of their own. */
export function knownCodes() {
  return Object.keys(PROBLEMS);
}

/** Writes a share of 0 to 1 as percent, and never says 0 or 100 of what is neither. */
export function percent(share) {
  const text = (share * 100).toFixed(1);
  if (text === "100.0" && share < 1) return "> 99.9%";
  if (text === "0.0" && share > 0) return "< 0.1%";
  return text === "100.0" ? "100%" : text === "0.0" ? "0%" : `${text}%`;
}

/** Writes a file's size. */
export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [number, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : [bytes / 1e6, "MB"];
  return `${number < 10 ? number.toFixed(1) : Math.round(number)} ${unit}`;
}

/** Writes a number and its noun: `1 picture`, `3 pictures`. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Says what of a folder is left out, and why: `[[name, why], ...]`; "" where nothing is. */
export function leftOutWords(leftOut) {
  const namesBy = new Map();
  for (const [name, why] of leftOut) {
    if (!namesBy.has(why)) namesBy.set(why, []);
    namesBy.get(why).push(name);
  }
  const parts = [...namesBy].map(([why, names]) => {
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    return `${names.slice(0, 3).join(", ")}${more} (${why})`;
  });
  return parts.length ? `Left out: ${parts.join("; ")}.` : "";
}

/** Writes milliseconds. */
export function duration(ms) {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** Reads a `Server-Timing` header: `[[stage, milliseconds], ...]` in its order. */
export function readStages(header) {
  return (header ?? "")
    .split(",")
    .map((entry) => [entry.split(";")[0].trim(), Number(/;\s*dur=([\d.]+)/.exec(entry)?.[1] ?? NaN)])
    .filter(([stage, ms]) => stage && !Number.isNaN(ms));
}

const WHY_NOT = {
  deadline: "there was no time left",
  overloaded: "too much was waiting",
  failed: "it failed",
  too_small: "it is too small",
  not_finite: "what was computed is not a number",
};

/** Says why a model behind the detector has no answer; "" where it has one, or is not there. */
export function whyNot(word) {
  return WHY_NOT[word] ?? "";
}
