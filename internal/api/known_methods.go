package api

import (
	"context"
	"strings"

	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// otherMethod stands for every method that does not exist, as the semantic conventions of OpenTelemetry have it.
const otherMethod = "/_OTHER"

// knownMethods hides the names of methods that do not exist from a handler of statistics. The client chose them, at any number and
// length, and each would become a metric.
type knownMethods struct{ stats.Handler }

// TagRPC passes on the name of a method of the contracts that this program has.
func (h knownMethods) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if !exists(info.FullMethodName) {
		hidden := *info
		hidden.FullMethodName = otherMethod
		info = &hidden
	}
	return h.Handler.TagRPC(ctx, info)
}

// exists reports whether there is a method of this name, such as /refract.v1.TaskService/GetTask.
func exists(fullMethod string) bool {
	name, rooted := strings.CutPrefix(fullMethod, "/")
	service, method, ok := strings.Cut(name, "/")
	if !rooted || !ok {
		return false
	}
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
	_, isMethod := found.(protoreflect.MethodDescriptor)
	return err == nil && isMethod
}
