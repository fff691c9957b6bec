// Package webhooks has the endpoints of webhooks, and the deliveries of events to them.
//
// Package postgres writes a delivery with the event that it is about, in one statement (InsertDeliveries). A delivery is pending
// until its endpoint has received the event or every attempt has failed.
//
// Claim leases deliveries that are due. Of the deliveries of a task to an endpoint only the one with the lowest revision is leased,
// its head. A claim that meets another one defers it: a later one is due again when the head has ended (Finish makes it so), or at
// the latest some time after the head. So a claim reads as many deliveries as it returns or defers, however many wait.
//
// A replica that dies leaves its leases to expire. When a method fails, nothing has happened, unless the answer to its commit was
// lost: leases then expire, and results can be stored again. All methods may be called concurrently.
package webhooks
