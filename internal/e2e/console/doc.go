// Package console tests the pages for people over whole services: what a visitor sees, can change, and must not reach.
//
// Tests without a build tag read pages as an HTTP client does. Tests with the tag browser open the same pages in a headless Chromium: scripts, uploads,
// the keyboard, accessibility, and that a page neither violates its policy nor makes a request to another origin.
package console
