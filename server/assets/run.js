// What only the pages of a run do where there is a script: the log follows its end, and a line that an address names is seen.

const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
const follows = () => document.querySelector("[data-follow]") !== null;
let wasAtEnd = atEnd();
window.addEventListener("scroll", () => (wasAtEnd = atEnd()), { passive: true });
document.addEventListener("stepwell:refreshed", () => {
  if (follows() && wasAtEnd) window.scrollTo({ top: document.documentElement.scrollHeight });
});

// A log that is followed opens at its end, unless the address names a line.
if (follows() && !location.hash) window.scrollTo({ top: document.documentElement.scrollHeight });
