// Follows an answer as it grows, unless the reader has gone elsewhere.

const NEAR_PX = 96;

/** Runs what changes the page's height; stays at the end if that is where the reader was. */
export function following(change: () => void): void {
  const page = document.documentElement;
  const near = page.scrollHeight - page.clientHeight - page.scrollTop < NEAR_PX;
  change();
  if (near) toEnd();
}

export function toEnd(): void {
  document.documentElement.scrollTo({ top: document.documentElement.scrollHeight });
}
