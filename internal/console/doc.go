// Package console serves the web pages for people: their tasks, what the service does with them, and what operators can change.
//
// A page is made on the server from calls of the API, as the person who signed in: a page can show and change exactly what the API allows.
// Pages work without script. A script module adds what needs one: live rows, the comparison of videos, uploads that resume.
package console
