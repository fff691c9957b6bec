// The module of the console. Pages work without it; each part adds what needs a script, and is loaded where it is used.
import "./times.js";
import "./copy.js";
import "./keys.js";

document.documentElement.classList.add("script");
const current = document.querySelector(".bar [aria-current]");
if (current) {
  const menu = current.parentElement;
  menu.scrollLeft = current.offsetLeft - menu.offsetLeft - (menu.clientWidth - current.offsetWidth) / 2;
}
if (document.querySelector("[data-live]")) import("./live.js");
if (document.querySelector("[data-player], #task")) import("./compare.js");
if (document.querySelector("form[data-upload]")) import("./upload.js");
