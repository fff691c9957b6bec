// Uploads the source of a task piece by piece, so that an upload continues after a broken connection or a reload. Without this
// module the form itself carries the file.
const pieceBytes = 4 << 20;
const waits = [1, 2, 4, 8, 15]; // Seconds before the upload is tried again.
const keyPrefix = "refract.upload:";

/** Gives a form with a source the upload by pieces. */
function enhance(form) {
  const input = form.querySelector("input[type=file]");
  const area = form.querySelector("[data-upload-progress]");
  const bar = area.querySelector("progress");
  const status = area.querySelector(".status");
  const pauseButton = area.querySelector("[data-upload-pause]");
  const cancelButton = area.querySelector("[data-upload-cancel]");
  const drop = form.querySelector("[data-drop]");
  const sourceId = form.elements.source_id;
  const limit = Number(form.dataset.maxBytes);
  let upload = null; // The upload in progress.
  let sendWhenDone = false;

  form.querySelector("[data-upload-hint]").hidden = false;

  function choose(kind) {
    for (const radio of form.querySelectorAll("input[name=source]")) radio.checked = radio.value === kind;
  }

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  function refuse(text) {
    input.value = ""; // So that the same file can be chosen again.
    input.setCustomValidity(text);
    input.reportValidity();
    area.hidden = false;
    bar.hidden = true;
    pauseButton.hidden = cancelButton.hidden = true;
    say(text);
  }

  function start(file) {
    upload?.cancel();
    upload = null;
    input.setCustomValidity("");
    sourceId.value = form.elements.uploaded.value = "";
    if (limit > 0 && file.size > limit) {
      refuse(`${file.name} has ${sizeText(file.size)}. The model takes at most ${form.dataset.maxText}.`);
      return;
    }
    if (file.size === 0) {
      refuse(`${file.name} is empty.`);
      return;
    }
    area.hidden = bar.hidden = pauseButton.hidden = cancelButton.hidden = false;
    pauseButton.textContent = "Pause";
    let said = -1;
    upload = new Upload(file, form.elements.form_token.value, {
      progress(bytes) {
        bar.value = Math.floor((1000 * bytes) / file.size);
        const tenth = Math.floor((10 * bytes) / file.size); // A screen reader hears ten steps and not each.
        bar.setAttribute("aria-valuetext", `${sizeText(bytes)} of ${sizeText(file.size)}`);
        if (tenth !== said) {
          said = tenth;
          say(`${file.name}: ${sizeText(bytes)} of ${sizeText(file.size)} (${10 * tenth} %)`);
        }
      },
      waiting(seconds, why) {
        said = -1;
        say(`${why} The upload continues in ${seconds} s.`);
      },
      done(source) {
        upload = null;
        pauseButton.hidden = cancelButton.hidden = true;
        bar.value = 1000;
        sourceId.value = source.id;
        form.elements.uploaded.value = file.name;
        say(`${file.name} is uploaded${facts(source)}.`);
        if (sendWhenDone) form.requestSubmit();
      },
      failed(why) {
        upload = null;
        sendWhenDone = false;
        refuse(why);
      },
    });
    upload.run();
  }

  input.addEventListener("change", () => {
    if (input.files.length > 0) start(input.files[0]);
    else reset();
  });

  if (input.files.length > 0) start(input.files[0]); // It was chosen before this module was there.

  function reset() {
    upload?.cancel();
    upload = null;
    sendWhenDone = false;
    input.value = "";
    input.setCustomValidity("");
    sourceId.value = form.elements.uploaded.value = "";
    area.hidden = true;
  }

  for (const radio of form.querySelectorAll("input[name=source]")) {
    radio.addEventListener("change", () => {
      // A field that is not shown must not keep the form from being sent.
      if (radio.checked && radio.value !== "file" && (upload || input.validity.customError)) reset();
    });
  }

  cancelButton.addEventListener("click", () => {
    upload?.forget();
    reset();
    input.focus();
  });
  pauseButton.addEventListener("click", () => {
    if (!upload) return;
    if (upload.paused) {
      pauseButton.textContent = "Pause";
      upload.run();
    } else {
      upload.pause();
      pauseButton.textContent = "Continue";
      say("The upload is paused.");
    }
  });

  form.addEventListener("submit", (event) => {
    const kind = form.querySelector("input[name=source]:checked").value;
    if (kind !== "file") {
      input.disabled = true; // Nothing is sent twice.
      return;
    }
    if (upload) {
      event.preventDefault();
      sendWhenDone = true;
      if (upload.paused) pauseButton.click();
      say("The task is submitted when the upload is complete.");
      return;
    }
    if (sourceId.value) {
      choose("id");
      input.disabled = true;
    }
  });
  // A page that comes back from the browser's history can be sent again.
  addEventListener("pageshow", () => { input.disabled = false; });
  // A field that is folded can't get the focus, and so the browser would refuse the form in silence.
  form.addEventListener("invalid", (event) => {
    const folded = event.target.closest("details");
    if (folded) folded.open = true;
  }, true);

  if (drop) {
    drop.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      drop.classList.add("dropping");
    });
    drop.addEventListener("dragleave", (event) => {
      if (!drop.contains(event.relatedTarget)) drop.classList.remove("dropping");
    });
    drop.addEventListener("drop", (event) => {
      drop.classList.remove("dropping");
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      choose("file");
      input.files = event.dataTransfer.files;
      start(input.files[0]);
    });
  }
}

/** An upload of one file. Its id is kept for the session, so that the same file continues after a reload. */
class Upload {
  constructor(file, token, events) {
    this.file = file;
    this.token = token;
    this.events = events;
    this.key = `${keyPrefix}${file.name}:${file.size}:${file.lastModified}`;
    this.id = remembered(this.key);
    this.paused = false;
    this.round = 0; // Of run: an older one ends.
  }

  get address() { return `/v1/sources/${this.id}`; }

  pause() {
    this.paused = true;
    this.round++;
    this.request?.abort();
    this.wake?.();
  }

  cancel() { this.pause(); }

  forget() {
    this.cancel();
    try { sessionStorage.removeItem(this.key); } catch { /* There is no storage. */ }
  }

  /** Sends what the service does not have yet, until it has everything. */
  async run() {
    this.paused = false;
    const round = ++this.round;
    let offset = null; // What the service has; null means that it must be asked.
    for (let failures = 0; round === this.round;) {
      const from = offset;
      const answer = from === null ? await this.send("GET") : await this.send("PUT", from);
      if (round !== this.round) return;
      if (answer.status >= 200 && answer.status < 300) {
        const body = parsed(answer.body);
        if (body.source) {
          this.forget();
          this.events.done(body.source);
          return;
        }
        const received = answer.offset ?? 0;
        if (from === null || received > from) failures = 0;
        offset = received < this.file.size ? received : this.file.size;
        this.events.progress(offset);
        continue;
      }
      const why = parsed(answer.body).message;
      if (answer.status > 0 && answer.status < 500 && ![408, 409, 429].includes(answer.status)) {
        if (answer.status === 400) this.forget(); // The bytes were dropped, or belong to another file.
        this.events.failed(why || `The service refused the upload (${answer.status}).`);
        return;
      }
      offset = answer.status === 409 ? answer.offset : null; // The service knows where the upload continues.
      if (answer.status === 409 && offset !== null && failures++ < 3) continue;
      const seconds = answer.retry || waits[Math.min(failures++, waits.length - 1)];
      this.events.waiting(seconds, answer.status === 0 ? "The connection broke." : why || "The service is busy.");
      await this.pausing(seconds);
    }
  }

  pausing(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      this.wake = () => { clearTimeout(timer); resolve(); };
      addEventListener("online", this.wake, { once: true });
    });
  }

  /** Sends one request. The answer has status 0 where the connection broke. */
  send(method, from) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest(); // fetch does not say how much it has sent.
      this.request = request;
      request.open(method, this.address);
      request.setRequestHeader("X-Refract-Form-Token", this.token);
      let body = null;
      if (method === "PUT") {
        const until = Math.min(from + pieceBytes, this.file.size);
        body = this.file.slice(from, until);
        const range = until > from ? `${from}-${until - 1}` : "*";
        request.setRequestHeader("Content-Range", `bytes ${range}/${this.file.size}`);
        request.setRequestHeader("Content-Type", "application/octet-stream");
        request.upload.onprogress = (event) => this.events.progress(from + Math.min(event.loaded, until - from));
      }
      request.onloadend = () => {
        const offset = request.getResponseHeader("Upload-Offset");
        resolve({
          status: request.status, body: request.responseText, offset: offset === null ? null : Number(offset),
          retry: Number(request.getResponseHeader("Retry-After")) || 0,
        });
      };
      request.send(body);
    });
  }
}

/** Returns the id of the upload that was begun under a key, or of a new one. */
function remembered(key) {
  try {
    const known = sessionStorage.getItem(key);
    if (known) return known;
    const id = newId();
    sessionStorage.setItem(key, id);
    return id;
  } catch {
    return newId(); // There is no storage.
  }
}

/** Returns a random UUID. crypto.randomUUID exists on secure origins only. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Returns what the service found in a video. */
function facts(source) {
  const seconds = parseFloat(source.duration);
  const found = [];
  if (seconds > 0) found.push(`${seconds.toFixed(1)} s`);
  if (source.width > 0) found.push(`${source.width} × ${source.height} pixels`);
  return found.length > 0 ? `: ${found.join(", ")}` : "";
}

function sizeText(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 1000 && unit < units.length - 1; unit++) bytes /= 1000;
  return unit === 0 ? `${bytes} B` : `${bytes.toFixed(1)} ${units[unit]}`;
}

for (const form of document.querySelectorAll("form[data-upload]")) enhance(form);
