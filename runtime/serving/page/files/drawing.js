// Outlines and boxes over a picture, on a canvas that lies above it; sharp at every size.

// Okabe and Ito's, as the service draws: people with any colour vision tell them apart.
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
const DARK = "rgb(16 16 16 / 80%)";
const MOST_MARKS = 50; // more would hide the picture
const MOST_PIXELS = 16e6; // of a canvas; browsers of phones give up beyond

/** Returns the colour of a class, the same in every picture. */
export function colourOf(classId) {
  return COLOURS[classId % COLOURS.length];
}

/**
 * Draws shapes over a picture of `size` (`{width, height}`), shown `shownWidth` CSS pixels wide.
 *
 * chosen: the shape that stands out, if any. withMarks: whether their numbers and letters are written beside them.
 */
export function drawShapes(canvas, size, shownWidth, shapes, { chosen = null, withMarks = true } = {}) {
  const wanted = (shownWidth / size.width) * (globalThis.devicePixelRatio || 1);
  const scale = Math.min(wanted, Math.sqrt(MOST_PIXELS / (size.width * size.height)));
  canvas.width = Math.max(1, Math.round(size.width * scale));
  canvas.height = Math.max(1, Math.round(size.height * scale));
  const context = canvas.getContext("2d");
  const unit = canvas.width / shownWidth; // pixels of the canvas to one of CSS
  context.lineJoin = "round";
  for (const shape of shapes) drawShape(context, shape, scale, unit, shape === chosen, chosen !== null);
  const taken = [];
  if (withMarks) for (const shape of shapes.slice(0, MOST_MARKS)) drawMark(context, shape, scale, unit, taken);
}

function drawShape(context, shape, scale, unit, isChosen, isAnyChosen) {
  const path = new Path2D();
  for (const line of shape.lines ?? []) {
    path.moveTo(line[0] * scale, line[1] * scale);
    for (let i = 2; i < line.length; i += 2) path.lineTo(line[i] * scale, line[i + 1] * scale);
    path.closePath();
  }
  const colour = colourOf(shape.colour);
  context.fillStyle = colour;
  context.globalAlpha = isChosen ? 0.4 : isAnyChosen ? 0.06 : 0.2;
  context.fill(path, "evenodd");
  context.globalAlpha = isAnyChosen && !isChosen ? 0.45 : 1;
  if (shape.isBox || !shape.lines) {
    const [left, top, right, bottom] = shape.box.map((edge) => edge * scale);
    path.rect(left, top, right - left, bottom - top);
  }
  for (const [style, width] of [
    [DARK, isChosen ? 5 : 4],
    [colour, isChosen ? 3 : 2],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = width * unit;
    context.stroke(path);
  }
  context.globalAlpha = 1;
}

/** Writes a shape's mark beside it, where it hides no other; one that finds no place is left out. */
function drawMark(context, shape, scale, unit, taken) {
  const size = 12 * unit;
  context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
  const width = context.measureText(shape.mark).width + size * 0.7;
  const height = size * 1.4;
  const place = placesBeside(
    shape.box.map((edge) => edge * scale),
    width,
    height,
    unit,
    context.canvas,
  ).find(
    ([x, y]) =>
      !taken.some(
        ([otherX, otherY, otherWidth]) =>
          x < otherX + otherWidth && otherX < x + width && Math.abs(y - otherY) < height,
      ),
  );
  if (!place) return;
  const [left, top] = place;
  taken.push([left, top, width]);
  context.fillStyle = DARK;
  context.fillRect(left, top, width, height);
  context.fillStyle = colourOf(shape.colour);
  context.fillRect(left, top, 3 * unit, height);
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(shape.mark, left + size * 0.45, top + height / 2);
}

function placesBeside([left, top, right, bottom], width, height, unit, canvas) {
  const wanted = [
    [left, top - height],
    [right - width, top - height],
    [right, top],
    [left - width, top],
    [left, bottom],
    [right - width, bottom],
  ];
  const within = ([x, y]) =>
    x >= -unit && y >= -unit && x + width <= canvas.width + unit && y + height <= canvas.height + unit;
  return [
    ...wanted.filter(within),
    [Math.max(0, Math.min(left, canvas.width - width)), Math.max(0, Math.min(top, canvas.height - height))],
  ];
}
