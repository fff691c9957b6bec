// Package precheck counts the items of an encoded request, and refuses a request with too many items before it is decoded. To
// decode and validate 700,000 items takes hundreds of megabytes. To count them takes almost no memory. The limits are those of
// the contract's validation rules.
package precheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Error describes what is wrong with one field.
type Error struct {
	Field   string // Its path, in the notation of validation.
	Problem string
}

// Error returns the field and what is wrong with it.
func (e *Error) Error() string { return e.Field + ": " + e.Problem }

// defaultLimit is the maximum number of items of a field without a rule. Every list and map of a request should have a rule.
const defaultLimit = 1000

// plan has the fields of a message, with the limits of its lists and maps.
type plan struct {
	byNumber map[protoreflect.FieldNumber]*field
	byName   map[string]*field // By both names that JSON may use.
	lists    int
}

type field struct {
	protoreflect.FieldDescriptor
	list    int  // Its index among the lists and maps of its message.
	limit   int  // How many items it may have; 0 if it is neither a list nor a map.
	values  bool // Whether it is a google.protobuf.Struct, an object of any values.
	apart   bool // Whether an item that breaks a rule is refused alone, without the rest of the message.
	message *plan
}

// count is the state of counting one message. Some parts are refused alone, without the rest of the message. The message must
// be decoded for that, so these parts may have a few items over their limits: spare is how many are left.
type count struct {
	spare  int
	values int // How many values of objects of any values are left.
}

func newCount() *count { return &count{spare: defaultLimit, values: maxValues} }

// takes reports whether a part may exceed a limit by a number of items. If so, it reduces the spare ones.
func (c *count) takes(over int, apart bool) bool {
	if over <= 0 {
		return true
	}
	if !apart || over > c.spare {
		return false
	}
	c.spare -= over
	return true
}

var plans sync.Map // Of *plan by protoreflect.FullName.

func planOf(md protoreflect.MessageDescriptor) *plan {
	if p, ok := plans.Load(md.FullName()); ok {
		return p.(*plan)
	}
	p := newPlan(md)
	plans.Store(md.FullName(), p)
	return p
}

// newPlan reads the rules of a message. The messages of requests are not recursive.
func newPlan(md protoreflect.MessageDescriptor) *plan {
	p := &plan{byNumber: map[protoreflect.FieldNumber]*field{}, byName: map[string]*field{}}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &field{FieldDescriptor: fd}
		if fd.IsList() || fd.IsMap() {
			f.limit, f.list, f.apart = limitOf(fd), p.lists, isApart(fd)
			p.lists++
		}
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.Message().FullName() == structName:
			f.values = true
		default:
			f.message = planOf(fd.Message())
		}
		p.byNumber[fd.Number()], p.byName[fd.JSONName()], p.byName[fd.TextName()] = f, f, f
	}
	return p
}

func limitOf(fd protoreflect.FieldDescriptor) int {
	rules, err := protovalidate.ResolveFieldRules(fd)
	if err != nil {
		return defaultLimit
	}
	var limit uint64
	switch r := rules.GetType().(type) {
	case *validate.FieldRules_Repeated:
		limit = r.Repeated.GetMaxItems()
	case *validate.FieldRules_Map:
		limit = r.Map.GetMaxPairs()
	}
	if limit == 0 || limit > defaultLimit {
		return defaultLimit
	}
	return int(limit)
}

// isApart reports whether validation skips the items of a list. The handler of the message then validates each item.
func isApart(fd protoreflect.FieldDescriptor) bool {
	rules, err := protovalidate.ResolveFieldRules(fd)
	return err == nil && rules.GetRepeated().GetItems().GetIgnore() == validate.Ignore_IGNORE_ALWAYS
}

// tooMany is the error of a list or map that is too long.
func (f *field) tooMany() error {
	noun := "items"
	if f.IsMap() {
		noun = "entries"
	}
	return &Error{Field: string(f.Name()), Problem: fmt.Sprintf("must have at most %d %s", f.limit, noun)}
}

// within returns an error with the field prepended to its path.
func (f *field) within(index int, err error) error {
	inner, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	path := string(f.Name())
	if f.IsList() {
		path = fmt.Sprintf("%s[%d]", path, index)
	}
	return &Error{Field: path + "." + inner.Field, Problem: inner.Problem}
}

// Wire returns an *Error when the encoded message has too many items in a list or map. It ignores malformed input, which the
// decoder refuses. It also allows a few items over the limits inside of an item that validation skips: the later validation of
// that item refuses them.
func Wire(md protoreflect.MessageDescriptor, b []byte) error {
	return planOf(md).wire(b, newCount(), false)
}

func (p *plan) wire(b []byte, c *count, apart bool) error {
	counts := make([]int, p.lists)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil
		}
		if f := p.byNumber[number]; f != nil {
			if err := f.wire(kind, b[:n], counts, c, apart); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

func (f *field) wire(kind protowire.Type, value []byte, counts []int, c *count, apart bool) error {
	if f.limit > 0 {
		items := f.items(kind, value)
		counts[f.list] += items
		if !c.takes(min(items, counts[f.list]-f.limit), apart) {
			return f.tooMany()
		}
	}
	if f.message == nil && !f.values || kind != protowire.BytesType {
		return nil
	}
	inner, n := protowire.ConsumeBytes(value)
	if n < 0 {
		return nil
	}
	if f.values {
		return f.bounded(wireValues(inner, structValues, 1, c))
	}
	index := 0
	if f.limit > 0 {
		index = counts[f.list] - 1
	}
	if err := f.message.wire(inner, c, apart || f.apart); err != nil {
		return f.within(index, err)
	}
	return nil
}

// items counts the items of one occurrence of a field. A packed field has several.
func (f *field) items(kind protowire.Type, value []byte) int {
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return 1
	default:
	}
	if kind != protowire.BytesType {
		return 1
	}
	packed, _ := protowire.ConsumeBytes(value)
	switch f.Kind() {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return len(packed) / 4
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return len(packed) / 8
	default:
	}
	items := 0
	for _, b := range packed {
		if b < 0x80 { // The last byte of a varint.
			items++
		}
	}
	return items
}

// JSON is like Wire, for a message in JSON.
func JSON(md protoreflect.MessageDescriptor, text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := planOf(md).json(d, newCount(), false); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return nil
}

// errStop ends the count: the decoder of messages fails at this point, or nothing is left to count.
var errStop = errors.New("not counted")

// json counts the items of the next value.
func (p *plan) json(d *json.Decoder, c *count, apart bool) error {
	if open, err := opens(d); err != nil || open != '{' {
		return skip(open, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return errStop
		}
		name, _ := key.(string)
		f := p.byName[name]
		if f == nil {
			return errStop // The decoder refuses unknown fields.
		}
		if err := f.json(d, c, apart); err != nil {
			return err
		}
	}
	return closes(d)
}

func (f *field) json(d *json.Decoder, c *count, apart bool) error {
	switch {
	case f.IsMap():
		open, err := opens(d)
		if err != nil || open != '{' {
			return skip(open, err)
		}
		for n := 1; d.More(); n++ {
			if n > f.limit && !c.takes(1, apart) {
				return f.tooMany()
			}
			if _, err := d.Token(); err != nil { // The key.
				return errStop
			}
			if err := skipValue(d); err != nil {
				return err
			}
		}
		return closes(d)
	case f.IsList():
		open, err := opens(d)
		if err != nil || open != '[' {
			return skip(open, err)
		}
		for n := 1; d.More(); n++ {
			if n > f.limit && !c.takes(1, apart) {
				return f.tooMany()
			}
			if err := f.value(d, c, apart); err != nil {
				return f.within(n-1, err)
			}
		}
		return closes(d)
	case f.values:
		return f.bounded(jsonValues(d, 0, c))
	default:
		if err := f.value(d, c, apart); err != nil {
			return f.within(0, err)
		}
		return nil
	}
}

func (f *field) value(d *json.Decoder, c *count, apart bool) error {
	if f.message == nil {
		return skipValue(d)
	}
	return f.message.json(d, c, apart || f.apart)
}

// opens reads the first token of a value. It returns the opening bracket of a list or an object, and 0 for a scalar value.
func opens(d *json.Decoder) (json.Delim, error) {
	t, err := d.Token()
	if err != nil {
		return 0, errStop
	}
	open, _ := t.(json.Delim)
	return open, nil
}

func closes(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errStop
	}
	return nil
}

func skipValue(d *json.Decoder) error {
	open, err := opens(d)
	return skip(open, err)
}

// skip accepts a scalar value, which opens has read completely. It ends the count at a list or an object, which the decoder of
// messages refuses here.
func skip(open json.Delim, err error) error {
	if err != nil || open != 0 {
		return errStop
	}
	return nil
}

// Times returns an *Error for the first timestamp or duration of a message that is out of range: a time before the year 1 or
// after 9999, or nanoseconds outside of a second. All others can be compared and stored. Times skips the same items as
// validation.
func Times(m proto.Message) error {
	return times(m.ProtoReflect())
}

func times(m protoreflect.Message) (err error) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil || fd.IsMap() {
			return true
		}
		f := &field{FieldDescriptor: fd}
		if !fd.IsList() {
			err = f.times(0, v.Message())
			return err == nil
		}
		if planOf(m.Descriptor()).byNumber[fd.Number()].apart {
			return true
		}
		for i := range v.List().Len() {
			if err = f.times(i, v.List().Get(i).Message()); err != nil {
				return false
			}
		}
		return true
	})
	return err
}

func (f *field) times(index int, m protoreflect.Message) error {
	switch t := m.Interface().(type) {
	case *timestamppb.Timestamp:
		if t.CheckValid() != nil {
			return &Error{Field: string(f.Name()), Problem: "must be a time from the year 1 to the year 9999"}
		}
	case *durationpb.Duration:
		if t.CheckValid() != nil {
			return &Error{Field: string(f.Name()), Problem: "must be a duration of at most 10000 years"}
		}
	default:
		if err := times(m); err != nil {
			return f.within(index, err)
		}
	}
	return nil
}
