// Package server is the process: its settings, and the list of its parts with the order in which they start and stop.
//
// New opens the listeners, the database and the bucket, and makes every part. It fails with one sentence where a setting can't
// work. Run serves until its context ends or a part fails, and then drains: the replica reports that it does not serve, streams
// end so that callers resume elsewhere, and calls, callbacks and jobs under way finish. Close gives back what New opened.
//
// It is the one package that knows all others. Nothing but programs and tests imports it.
package server
