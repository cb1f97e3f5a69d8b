// Masks in COCO's compressed run lengths, to shapes that a canvas can draw at any size. Pure functions.

/** Reads compressed counts: pixels outside and inside by turns, down the columns, outside first. */
export function decodeCounts(text) {
  // Groups of 5 bits, the lowest first; bit 5 says that more follow, bit 4 of the last is the sign. From the fourth on
  // a count is stated as the difference from the one before the last.
  const counts = [];
  let value = 0;
  let place = 1;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at) - 48;
    value += (code & 31) * place;
    place *= 32;
    if (code & 32) continue;
    if (code & 16) value -= place;
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
    value = 0;
    place = 1;
  }
  return counts;
}

/** Returns the runs of each column that has any, in order: `[[x, [y, end, y, end, ...]], ...]`; ends are outside. */
export function columnsOf(counts, height) {
  const columns = [];
  let at = 0;
  counts.forEach((count, place) => {
    let start = at;
    at += count;
    while (place % 2 && start < at) {
      const x = Math.floor(start / height);
      const end = Math.min(at, (x + 1) * height);
      if (columns.at(-1)?.[0] !== x) columns.push([x, []]);
      columns.at(-1)[1].push(start - x * height, end - x * height);
      start = end;
    }
  });
  return columns;
}

/**
 * Returns the edges of a mask as closed lines between pixels, `[[x, y, x, y, ...], ...]`, in pixels of the picture.
 *
 * Drawn as one path and filled by the even-odd rule they cover the mask's pixels, all of them and no others.
 */
export function outlinesOf(counts, height) {
  const columns = columnsOf(counts, height);
  const next = new Map();
  const key = (x, y) => x * (height + 1) + y;
  const add = (x, y, toX, toY) => {
    const from = key(x, y);
    if (next.has(from)) next.get(from).push(key(toX, toY));
    else next.set(from, [key(toX, toY)]);
  };
  let before = [-2, []];
  for (const column of [...columns, [Infinity, []]]) {
    const [x, runs] = column;
    // What is inside lies to the right of where a line goes: along tops to the right, along bottoms to the left.
    for (let i = 0; i < runs.length; i += 2) {
      add(x, runs[i], x + 1, runs[i]);
      add(x + 1, runs[i + 1], x, runs[i + 1]);
    }
    const touch = before[0] + 1 === x;
    if (!touch) for (const [y, end] of differences(before[1], [])) add(before[0] + 1, y, before[0] + 1, end);
    for (const [y, end, isLeft] of differences(touch ? before[1] : [], runs)) {
      if (isLeft) add(x, y, x, end);
      else add(x, end, x, y);
    }
    before = column;
  }
  return chain(next, height);
}

/** Yields where one column is inside and its neighbour is not: `[y, end, whether the left one is inside]`. */
function* differences(left, right) {
  const ends = [...new Set([...left, ...right])].sort((a, b) => a - b);
  let [i, j] = [0, 0];
  for (let n = 0; n + 1 < ends.length; n += 1) {
    while (i < left.length && left[i] <= ends[n]) i += 1;
    while (j < right.length && right[j] <= ends[n]) j += 1;
    if (i % 2 !== j % 2) yield [ends[n], ends[n + 1], i % 2 === 1];
  }
}

function chain(next, height) {
  const lines = [];
  for (const first of next.keys()) {
    while (next.get(first).length) {
      const line = [];
      let at = first;
      do {
        line.push(Math.floor(at / (height + 1)), at % (height + 1));
        at = next.get(at).pop();
      } while (at !== first);
      lines.push(straightened(line));
    }
  }
  return lines;
}

/** Leaves out the points in the middle of straight pieces. */
function straightened(line) {
  const kept = [];
  const size = line.length;
  for (let i = 0; i < size; i += 2) {
    const [x, y] = [line[i], line[i + 1]];
    const [fromX, fromY] = [line[(i - 2 + size) % size], line[(i - 1 + size) % size]];
    const [toX, toY] = [line[(i + 2) % size], line[(i + 3) % size]];
    if (!((fromX === x && x === toX) || (fromY === y && y === toY))) kept.push(x, y);
  }
  return kept;
}
