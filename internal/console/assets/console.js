// The module of the console. Pages work without it; each part adds what needs a script.
document.documentElement.classList.add("script");
import "./times.js";
import "./copy.js";
import "./keys.js";
import "./compare.js";
import "./live.js";
import "./upload.js";
