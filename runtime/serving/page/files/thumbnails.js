// Small pictures of large ones: one is read at a time, so that a hundred photographs do not fill the memory.

const LONGER_SIDE = 320;
let last = Promise.resolve();

/** Returns a canvas with the upright picture, or null where this browser cannot show the file. */
export function thumbnailOf(file) {
  const made = last.then(() => make(file)).catch(() => null);
  last = made;
  return made;
}

async function make(file) {
  const whole = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = LONGER_SIDE / Math.max(whole.width, whole.height); // small ones are enlarged: tiles are of one size
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(whole.width * scale));
  canvas.height = Math.max(1, Math.round(whole.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  whole.close();
  return canvas;
}
