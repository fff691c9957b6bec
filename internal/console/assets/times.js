// Times are in the reader's zone when the pointer rests on them.
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** Gives the times below an element a title in the reader's zone. */
export function localizeTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = exact.format(new Date(time.dateTime));
  }
}

localizeTimes(document);
