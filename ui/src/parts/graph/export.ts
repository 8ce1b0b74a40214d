/** Saves the picture. Nothing leaves the page but by the browser's own download. */

/** The most a canvas takes in one direction, in every browser. */
const MOST = 8_192;

function download(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const saveSvg = (svg: string, name: string) =>
  download(new Blob([svg], { type: "image/svg+xml" }), `${name}.svg`);

/** Twice as sharp as the screen needs, or as sharp as fits. */
export async function savePng(svg: string, name: string) {
  const image = new Image();
  // The policy of the page allows data: for images, and nothing else that we could use here.
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const scale = Math.min(2, MOST / image.width, MOST / image.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new Error("no picture");
  download(blob, `${name}.png`);
}
