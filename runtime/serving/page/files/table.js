// Answers as a table for other programs: CSV (RFC 4180, with a byte order mark, as Excel wants it). Pure functions.

const FIXED = [
  "file",
  "asked",
  "state",
  "label",
  "probability",
  "abstained",
  "abstain_below",
  "regions",
  "regions_area_share",
  "objects",
  "width",
  "height",
  "total_ms",
  "request_id",
  "model",
  "version",
  "error",
  "message",
];

/**
 * Writes one row for each picture and question.
 *
 * rows: `{file, asked, result}`; a result has `state` and, as far as it came, `answer`, `requestId`, `stages`, `problem`.
 */
export function toCsv(rows) {
  const classes = [...new Set(rows.flatMap(({ result }) => Object.keys(result.answer?.probabilities ?? {})))];
  const header = [...FIXED, ...classes.map((name) => `probability.${name}`)];
  const lines = rows.map((row) => {
    const fields = fieldsOf(row);
    const shares = classes.map((name) => row.result.answer?.probabilities?.[name] ?? "");
    return [...FIXED.map((name) => fields[name] ?? ""), ...shares];
  });
  return `\ufeff${[header, ...lines].map((line) => line.map(cell).join(",")).join("\r\n")}\r\n`;
}

function fieldsOf({ file, asked, result }) {
  const { answer = {}, problem = {} } = result;
  return {
    file,
    asked,
    state: result.state,
    label: answer.label,
    probability: answer.probability,
    abstained: answer.abstained,
    abstain_below: answer.abstain_below,
    regions: answer.num_regions,
    regions_area_share: answer.regions?.reduce((sum, region) => sum + region.area_share, 0),
    objects: answer.detections?.length,
    width: answer.width,
    height: answer.height,
    total_ms: result.stages?.find(([stage]) => stage === "total")?.[1],
    request_id: result.requestId ?? problem.requestId,
    model: answer.model?.name,
    version: answer.model?.version,
    error: problem.code,
    message: problem.message,
  };
}

function cell(value) {
  if (typeof value !== "string") return String(value);
  // A spreadsheet would compute what begins like this, and a file's name may come from anybody.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
