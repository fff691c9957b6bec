package precheck

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// structName is the message for an object of any values.
const structName protoreflect.FullName = "google.protobuf.Struct"

const (
	// maxValues is how many values the objects of a message may have together. The contract's own bound of an object is one of
	// bytes, which only a decoded object shows: 16 KiB of JSON are 8,000 values at most.
	maxValues = 20_000
	// maxDepth is how deep the values of an object may be nested. Some decoders of protobuf stop at 100 messages, of which a level
	// has two.
	maxDepth = 16
)

var (
	errValues = errors.New("too many values")
	errDepth  = errors.New("too deep")
)

// bounded returns what is wrong with the values of an object.
func (f *field) bounded(err error) error {
	switch {
	case errors.Is(err, errValues):
		return &Error{Field: string(f.Name()), Problem: fmt.Sprintf("must have at most %d values, those of all items together", maxValues)}
	case errors.Is(err, errDepth):
		return &Error{Field: string(f.Name()), Problem: fmt.Sprintf("must be nested at most %d levels", maxDepth)}
	default:
		return err
	}
}

// wireKind is one of the messages of which an encoded object consists.
type wireKind int

const (
	structValues wireKind = iota // Struct: field 1 has entries.
	entryValue                   // An entry: field 2 is a Value.
	anyValue                     // Value: field 5 is a Struct, and field 6 a ListValue.
	listValues                   // ListValue: field 1 has Values.
)

// inside returns what a field of a message is, and false for one that holds no values.
func (k wireKind) inside(number protowire.Number) (inner wireKind, ok bool) {
	switch {
	case k == structValues && number == 1:
		return entryValue, true
	case k == entryValue && number == 2, k == listValues && number == 1:
		return anyValue, true
	case k == anyValue && number == 5:
		return structValues, true
	case k == anyValue && number == 6:
		return listValues, true
	default:
		return 0, false
	}
}

// wireValues counts the values of an encoded message of an object. It ignores malformed input, which the decoder refuses.
func wireValues(b []byte, kind wireKind, depth int, c *count) error {
	if depth > maxDepth {
		return errDepth
	}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return nil
		}
		value := b[:n]
		b = b[n:]
		inner, ok := kind.inside(number)
		if !ok || wire != protowire.BytesType {
			continue
		}
		content, n := protowire.ConsumeBytes(value)
		if n < 0 {
			return nil
		}
		next := depth
		switch inner {
		case anyValue, entryValue: // An entry counts too, since it may have no value.
			if c.values--; c.values < 0 {
				return errValues
			}
		case structValues, listValues:
			next++
		}
		if err := wireValues(content, inner, next, c); err != nil {
			return err
		}
	}
	return nil
}

// jsonValues counts the values of the next value of JSON.
func jsonValues(d *json.Decoder, depth int, c *count) error {
	if c.values--; c.values < 0 {
		return errValues
	}
	open, err := opens(d)
	if err != nil || open == 0 {
		return err
	}
	if depth++; depth > maxDepth {
		return errDepth
	}
	for d.More() {
		if open == '{' {
			if _, err := d.Token(); err != nil { // The key.
				return errStop
			}
		}
		if err := jsonValues(d, depth, c); err != nil {
			return err
		}
	}
	return closes(d)
}
