package api

import (
	"context"
	"errors"
	"slices"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/refract-video/refract/internal/precheck"
)

// errMalformed answers bytes that are no message.
var errMalformed = errors.New("the request is not a message of this method")

// frame receives a message, and keeps the error of the decoder. gRPC itself would answer that error with INTERNAL.
type frame struct {
	into proto.Message
	err  error
}

// codec is the encoding of messages, which counts items before it makes anything of them.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(protocodec.Name)} }

// Marshal encodes a message, or a largeAnswer.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*largeAnswer); ok {
		return a.encode()
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal decodes a message, or a frame.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if f.err = precheck.Wire(f.into.ProtoReflect().Descriptor(), buf.ReadOnlyData()); f.err != nil {
		return nil
	}
	if proto.Unmarshal(buf.ReadOnlyData(), f.into) != nil {
		f.err = errMalformed
	}
	return nil
}

// receive decodes a request by a function of gRPC, and validates it, unless its caller has gone.
func receive(ctx context.Context, dec func(any) error, req any, v protovalidate.Validator) error {
	m, ok := req.(proto.Message)
	if !ok {
		return dec(req)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f := &frame{into: m}
	if err := dec(f); err != nil {
		return err
	}
	if f.err != nil {
		return f.err
	}
	return obeys(m, v)
}

// obeys returns how a message breaks the contract.
func obeys(m proto.Message, v protovalidate.Validator) error {
	if err := precheck.Times(m); err != nil {
		return err
	}
	return v.Validate(m)
}

// decodingLast returns a service whose unary requests are decoded and validated after all interceptors, so that strangers
// cost neither.
func decodingLast(service grpc.ServiceDesc, v protovalidate.Validator) *grpc.ServiceDesc {
	service.Methods = slices.Clone(service.Methods)
	for i, m := range service.Methods {
		service.Methods[i].Handler = func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			info := &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + service.ServiceName + "/" + m.MethodName}
			return interceptor(ctx, nil, info, func(ctx context.Context, _ any) (any, error) {
				return m.Handler(srv, ctx, func(req any) error { return receive(ctx, dec, req, v) }, nil)
			})
		}
	}
	return &service
}

// validatedStream validates every message it receives.
type validatedStream struct {
	contextStream
	validator protovalidate.Validator
}

// RecvMsg receives and validates.
func (s *validatedStream) RecvMsg(m any) error {
	return receive(s.ctx, s.contextStream.RecvMsg, m, s.validator)
}
