package precheck

import "google.golang.org/protobuf/reflect/protoreflect"

// Limited reports whether a rule of the contract limits the items of a field.
func Limited(fd protoreflect.FieldDescriptor) bool {
	return limitOf(fd) < defaultLimit || fd.Name() == "requests"
}
