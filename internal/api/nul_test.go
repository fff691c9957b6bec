package api

import (
	"errors"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// TestOperatorService_FiltersRefuseTheCharacterNUL puts it into each filter of the lists. PostgreSQL has no such text, so it would be an
// internal error. Names in other requests are looked up in the configuration first.
func TestOperatorService_FiltersRefuseTheCharacterNUL(t *testing.T) {
	t.Parallel()
	methods := refractv1.File_refract_v1_operator_service_proto.Services().ByName("OperatorService").Methods()
	for i := range methods.Len() {
		input := methods.Get(i).Input()
		if !strings.HasPrefix(string(input.Name()), "List") {
			continue
		}
		kind, err := protoregistry.GlobalTypes.FindMessageByName(input.FullName())
		if err != nil {
			t.Fatal(err)
		}
		for j := range input.Fields().Len() {
			field := input.Fields().Get(j)
			if field.Kind() != protoreflect.StringKind || field.IsList() || field.IsMap() || field.Name() == "page_token" { // Page tokens are decoded.
				continue
			}
			m := kind.New()
			m.Set(field, protoreflect.ValueOfString("a\x00"))
			refused := false
			if invalid, ok := errors.AsType[*protovalidate.ValidationError](protovalidate.Validate(m.Interface())); ok {
				for _, v := range invalid.Violations {
					refused = refused || v.FieldDescriptor == field
				}
			}
			if !refused {
				t.Errorf("%s accepts the character NUL", field.FullName())
			}
		}
	}
}
