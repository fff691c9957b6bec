// Package promises tests each promise of docs/guarantees.md on whole services.
package promises
