// How pictures come in: chosen, photographed, dropped (folders, too) or pasted.

import { byId } from "./elements.js";

const PICTURE_NAME = /\.(jpe?g|jfif|png|webp|bmp|dib|tiff?|avif|heic|heif)$/i;
const MOST_FILES = 5000; // of a folder; a whole disk may be dropped by mistake
const NO_PICTURE = "no pictures by their names";
const TOO_MANY = `beyond ${MOST_FILES} pictures`;
const UNREADABLE = "not readable";

/** Listens for pictures; `take({files, leftOut})` gets them, with what of a folder is left out: `[[name, why], ...]`. */
export function listen(take) {
  for (const [button, input] of [
    ["choose", "files"],
    ["choose-first", "files"],
    ["photograph", "photo"],
    ["photograph-first", "photo"],
  ]) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const name of ["files", "photo"]) {
    byId(name).addEventListener("change", ({ target }) => {
      take({ files: [...target.files], leftOut: [] });
      target.value = ""; // the same file may be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take({ files: files.map(named), leftOut: [] });
  });
  listenForDrops(take);
}

function listenForDrops(take) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // of the elements that are dragged over
  const show = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => hasFiles(event) && show(1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // the browser would leave the page for the picture
    show(-depth);
    take(await filesOf(event.dataTransfer));
  });
}

/** A picture from the clipboard is always called the same. */
function named(file, place) {
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
  const kind = file.type.split("/")[1]?.split("+")[0] || "png";
  return file.name && file.name !== "image.png"
    ? file
    : new File([file], `pasted-${time}-${place + 1}.${kind}`, { type: file.type });
}

async function filesOf(transfer) {
  // Entries are gone once the event is over, so they are taken before anything is waited for.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = { files: [], leftOut: [] };
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) found.files.push(file);
  }
  return found;
}

/** Takes in what lies in a folder's entry; one that cannot be read costs none of the others. */
export async function walk(folder, found) {
  let entries = [];
  try {
    entries = await entriesOf(folder);
  } catch {
    found.leftOut.push([folder.fullPath, UNREADABLE]);
  }
  for (const entry of entries) {
    if (found.files.length >= MOST_FILES) found.leftOut.push([entry.fullPath, TOO_MANY]);
    else if (entry.isDirectory) await walk(entry, found);
    else if (!PICTURE_NAME.test(entry.name)) found.leftOut.push([entry.fullPath, NO_PICTURE]);
    else await takeFile(entry, found);
  }
}

async function entriesOf(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (!some.length) break;
    entries.push(...some);
  }
  return entries.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}

async function takeFile(entry, found) {
  try {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    file.pathInFolder = entry.fullPath.slice(1);
    found.files.push(file);
  } catch {
    found.leftOut.push([entry.fullPath, UNREADABLE]);
  }
}
