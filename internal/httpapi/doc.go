// Package httpapi is the HTTP surface of Refract. It has no business rule. Every answer about a task comes from a gRPC
// server over a connection of the caller of this package, so REST and gRPC pass the same interceptors. A callback goes to
// the callback service in this process without a connection, so callers and strangers can't delay each other.
//
// There are two handlers. [NewInternal] serves REST by grpc-gateway, watch streams as lines of JSON or
// server-sent events, downloads of outputs, uploads of sources, the OpenAPI document, health and metrics.
// [NewIngress] faces the public and serves callbacks and, where configured, uploaded sources.
//
// The promises:
//
//   - Every refused request is answered with a google.rpc.Status as JSON. Errors that the gRPC server wrote for callers reach them
//     unchanged. Errors of the transport go to the log only.
//   - The route and the credentials of a request are checked before its body is read. No status is larger than trailers allow.
//   - A body over its bound is refused with 413 and never truncated. The bytes of an upload that have arrived are kept.
//   - Only headers that are listed are passed on: in this package to the gRPC server, in the adapters to the callback service.
//   - Streams, uploads and downloads may last. A client that sends or reads nothing for a minute is disconnected. Everything else is
//     bounded in time.
//
// When the gRPC server is gone or drains, calls are answered 503 and streams end with an error that names the reason;
// clients resume them at another replica. An EventSource gets 200 and the error as an event, since it would not reconnect
// after another status. When the bucket fails, downloads are answered 500, or are cut so that the client sees that bytes are
// missing. When a handler panics, the caller gets 500 and the log has the stack.
package httpapi
