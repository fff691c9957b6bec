// The module of the console. Pages work without it; each part adds what needs a script.
import "./times.js";
