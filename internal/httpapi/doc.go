// Package httpapi is the HTTP surface of Refract. It holds no business rule. Every answer about a task comes from a gRPC
// server, which it calls over the connection that it is given, so that REST and gRPC pass the same interceptors. A callback
// goes to the callback service in this process, over no connection, so that callers and strangers can't delay each other.
//
// There are two handlers. [NewInternal] serves REST by grpc-gateway, watch streams as lines of JSON or
// server-sent events, downloads of outputs, uploads of sources, the OpenAPI document, health and metrics.
// [NewIngress] faces the public and serves callbacks, nothing else.
//
// The promises:
//
//   - A refused request is answered with a google.rpc.Status as JSON, whoever refused it. What the gRPC server
//     meant for callers reaches them word by word; what broke between here and there goes to the log alone.
//   - No body is read before its route was found and its credentials were checked, and no status is larger than trailers
//     take.
//   - A body over its bound is refused with 413 and never cut. What arrived of an upload is kept.
//   - A stranger's headers reach the gRPC server only when they are named here.
//   - Streams, uploads and downloads may last, but a client that gives or takes nothing for a minute is cut off.
//     All else is bounded in time.
//
// When the gRPC server is gone or drains, calls are answered 503, but for those of an EventSource, which would give up
// for good, and streams end with an error that names the
// reason; clients resume them elsewhere. When the bucket fails, downloads are answered 500, or break off so
// that the client sees that bytes are missing. When a handler panics, the caller gets 500 and the log the stack.
package httpapi
