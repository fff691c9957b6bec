// The module of the console. Pages work without it; each part adds what needs a script, and is loaded where it is used.
import "./times.js";
import "./copy.js";
import "./keys.js";

document.documentElement.classList.add("script");
if (document.querySelector("[data-live]")) import("./live.js");
if (document.querySelector("[data-player], #task")) import("./compare.js");
if (document.querySelector("form[data-upload]")) import("./upload.js");
